"""`suppress ui`: a page in the browser to click on. It needs gradio: pip install "minisd[ui]".

chips      a prompt as words to click on, and the words that were clicked as a request
form       a method's settings as fields to fill in, and the filled-in fields as a method's spec
order      all that is asked for on the page, as the arguments of `suppress` and as a call in Python
draw       an order -> pictures, maps of each step, scores, leak table
runs       orders of several people, one at a time; progress and stop
show       what was drawn, as HTML
page       the page itself, with gradio; nothing else here needs it
"""
