"""Small models trained for this project and one that arrives in a package, each with the data it is scored on.

`byte_lm` is a causal language model and its draft, `digits_vit` an image classifier, `minilm` a
sentence encoder. Their checkpoints are safetensors beside this file; nothing is downloaded, and a
model is read only when it is asked for.
"""
