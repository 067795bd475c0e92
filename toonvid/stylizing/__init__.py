"""Frames become cartoon frames, without files: frames or arrays go in, frames or arrays come out.

Entry point: `stylizer` for the frames of a video, and `image` for single images. A backend
(`toonvid.backends`) runs the engine; what cartoon it draws is the engine's alone.

- stylizer: batches, padding, strength and color
- steady: temporal consistency of the cartoons
- reduced, cell_sums, motion, changes: the source at smaller sizes, its motion, where it changed
- moving, near_colors, blending: the last cartoon is moved and blended with the present one
- compare: source and cartoon in one frame
- image: `toonvid.stylize` and `toonvid.open_style`, for arrays
- options: `StylizeOptions`
- resize: images in another size, for live outputs
"""
