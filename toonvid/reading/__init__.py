"""Reading: a source becomes `VideoInfo`, RGB frames with their times, and auxiliary packets.

In: a file, an address, a pipe, or anything else that FFmpeg opens. Out: frames rotated for display,
and the packets of audio, subtitles and other streams, which are copied and never decoded. Entry
point: `decoder.VideoDecoder`. Cameras are read by `toonvid.live`.

- `decoder`: the context manager that yields the frames of a source.
- `options`: which part of a source is read, at what size, and by which decoder.
- `container`: opens a source so that it cannot open other files.
- `probe`: finds the streams of a container and describes them.
- `demuxer`: packets in the order of the source, across damage.
- `clock`: times that begin at 0 and rise, whatever those of the source are.
- `file_end`: how many bytes a file lacks by its own header.
- `decoder_choice`: software or NVDEC.
- `frames`: decoded frames become RGB arrays.
- `rotation`: reads the display matrix and rotates the pixels.
- `trim`: frames, packets and chapters inside the requested time range.
- `stall_guard`: reads pipes and network files that may stop answering.
- `further_images`: what an image file holds beside the image that is read.
- `image_size`: the size that an image file claims, for the message about too large frames.
"""
