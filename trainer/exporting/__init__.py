"""A trained generator becomes an engine that `toonvid convert --style` uses.

A training run goes in; `.onnx` files and the model card come out. Entry point: `export`.

- export: float32 and float16 files and the card, compared with the generator
- quantize: the INT8 file, compared with float32
- recipe: how the generator was trained, as a text for the card
"""
