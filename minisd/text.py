"""CLIP's text transformer: token ids (B,77) -> the text embeddings ctx (B,77,D) that the UNet reads.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision". SD v1 uses the text
tower of ViT-L/14: 12 layers of width 768. In each layer

    x <- x + Attention(LayerNorm(x)),   x <- x + MLP(LayerNorm(x)),   attention causal: token j reads tokens 0 … j

Because of the causal mask, a word reads only the words before it. [EOT] comes after all of them and reads the whole
prompt. SD fills the prompt up to 77 tokens with more [EOT]s and hides none of them, so each of these carries the prompt
too. Therefore "a man without glasses" still wears glasses if the row of "glasses" is set to zero.

Modules have the names of the checkpoint files, without the prefix `text_model.`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .config import TextConfig


class SelfAttention(nn.Module):
    """out = softmax(Q K^T / √d + mask) V over H heads, d = D / H."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x: Tensor, readable: Tensor | None) -> Tensor:
        """x (B,L,D); readable (L,L) bool: whether token j (row) may read token k (column); None: all may."""
        q, k, v = (
            rearrange(proj(x), "b l (h d) -> b h l d", h=self.heads) for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=readable)
        return self.out_proj(rearrange(out, "b h l d -> b l (h d)"))


class MLP(nn.Module):
    """Two linear layers with an activation between them."""

    def __init__(self, dim: int, hidden: int, activation: str):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc1(x)
        # OpenAI's CLIP has a quick approximation of GELU, x σ(1.702 x); later CLIPs have GELU itself
        h = h * torch.sigmoid(1.702 * h) if self.activation == "quick_gelu" else F.gelu(h)
        return self.fc2(h)


class Layer(nn.Module):
    """One layer of CLIP's transformers (text and vision): attention and MLP, each after a LayerNorm."""

    def __init__(self, dim: int, heads: int, hidden: int, activation: str, eps: float):
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(dim, eps=eps)
        self.self_attn = SelfAttention(dim, heads)
        self.layer_norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = MLP(dim, hidden, activation)

    def forward(self, x: Tensor, readable: Tensor | None = None) -> Tensor:
        """x (B,L,D) -> (B,L,D)"""
        x = x + self.self_attn(self.layer_norm1(x), readable)
        return x + self.mlp(self.layer_norm2(x))


class Embeddings(nn.Module):
    """A vector for each token plus a vector for each position."""

    def __init__(self, config: TextConfig):
        super().__init__()
        # empty: the weights come from a file. Drawing random ones imports PyTorch's compiler, which takes a second
        self.token_embedding, self.position_embedding = (
            nn.Embedding.from_pretrained(torch.empty(n, config.dim)) for n in (config.vocab_size, config.positions)
        )

    def forward(self, ids: Tensor) -> Tensor:
        """ids (B,L) int64 -> (B,L,D)"""
        return self.token_embedding(ids) + self.position_embedding.weight[: ids.shape[1]]


class Encoder(nn.Module):
    """The layers, one after the other."""

    def __init__(self, layers: int, dim: int, heads: int, hidden: int, activation: str, eps: float):
        super().__init__()
        self.layers = nn.ModuleList([Layer(dim, heads, hidden, activation, eps) for _ in range(layers)])

    def forward(self, x: Tensor, readable: Tensor | None = None) -> Tensor:
        for layer in self.layers:
            x = layer(x, readable)
        return x


class TextEncoder(nn.Module):
    """Token ids -> ctx: the layers, then a final LayerNorm."""

    def __init__(self, config: TextConfig):
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        c = config
        self.encoder = Encoder(c.layers, c.dim, c.heads, c.hidden, c.activation, c.eps)
        self.final_layer_norm = nn.LayerNorm(config.dim, eps=config.eps)

    def forward(self, ids: Tensor, hidden: Sequence[int] = ()) -> Tensor:
        """ids (B,L) int64, L at most 77 -> ctx (B,L,D).

        hidden: positions that no token may read in any layer (suppress/methods/unread.py). [SOT] must not be among
        them: it reads only itself.
        """
        readable = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool, device=ids.device).tril()
        readable[:, list(hidden)] = False
        return self.final_layer_norm(self.encoder(self.embeddings(ids), readable))
