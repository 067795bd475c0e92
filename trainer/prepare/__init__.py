"""Preparing: videos and images become a folder of square crops to train on.

In: videos, images and folders of them. Out: JPEG crops, a manifest of every source that was read, a
report and a contact sheet. Entry point: `prepare.prepare`. Training reads the folder like any other
(`trainer.data`).

- `prepare`: the loop over all sources; resumable.
- `frame_extraction`: finds sources and yields their frames, without black bars.
- `quality_filter`: rejects blank, blurred and duplicate frames and credits.
- `crops`: cuts square crops at several scales.
- `manifest`: the SQLite file that records what was made of every source.
- `report`: `report.json` and the contact sheet.
- `training_videos`: prepares a video that is given to `toonvid train` directly.
"""
