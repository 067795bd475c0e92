"""Writing: cartoon frames become packets, and packets become a target.

In: `Frame`s, whose times rise, and the auxiliary streams of their source. Out: a video or an image
in its place, verified and safe on disk; or Matroska on standard output. Entry points: `encoder`
(frames to packets) and `muxer` (packets and auxiliary streams to a target).

- encoder: `Encoder`, one video codec at work
- muxer: `Muxer`, one target; `write_video` for frames that are at hand
- options: `EncodeOptions`, what a user may ask for
- codec: `Codec`, FFmpeg's options, pixel formats and sizes of each video encoder
- containers: which container and codec a suffix stands for
- rgb_input: RGB arrays and color tags as FFmpeg takes them
- remux: audio, subtitles, covers, attachments and data are copied
- lost_audio: what is left out of an audio stream, in seconds
- transcode: audio and text subtitles that a container cannot hold are converted
- part_folder: the folder beside a target in which it is written
- provenance: the tag that toonvid leaves in what it writes
- output_paths: which targets a command line asks for
- contact_sheet: images of one size in rows
"""
