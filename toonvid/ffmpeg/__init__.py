"""What reading and writing share about FFmpeg, which PyAV brings along.

In: frames of PyAV. Out: filter graphs, color tags, and which hardware decoders and encoders work.
Opening sources is `toonvid.reading`'s task, writing targets `toonvid.writing`'s.

- `color`: color tags and pixel formats of decoded frames.
- `filter_graphs`: conversion between decoded frames, RGB and the encoder's frames.
- `hardware`: hardware decoders and encoders, found by trying them.
- `jpeg`: single JPEG images, for the page of `toonvid live`.
- `masked_merge`: weighted means of bytes, for the stage against flicker.
- `nvidia`: NVIDIA GPUs and their driver.
"""
