"""How the embedded model is made: from nothing but the drawn world, in five stages.

    python -m weights.tiny.train --out FOLDER                        # in a clone of the repository
    python -m weights.tiny.train --out FOLDER --resume               # goes on with a run that was stopped
    torchrun --nproc_per_node=2 -m weights.tiny.train --out FOLDER   # on two GPUs
    python -m weights.tiny.train --out FOLDER --recipe micro         # all stages in a few seconds on a CPU; a test

    tokenizer   the words of the captions become tokens
    clip        text encoder and vision tower, contrastive
    vae         pictures <-> latents
    detector    which of 37 attributes a picture shows
    unet        the denoiser

Each stage reads the files of the stages before it, and writes files that `minisd.load` or the judges of
suppress/metrics read.

Read recipe.py (all numbers), then a file per stage: vocabulary, clip, vae, detector, unet. The loop that they share is
loop.py. drawings.py draws pictures and captions; run.py puts everything in order.
"""
