"""Data: folders of photos and cartoons become batches of tensors.

In: folders of images. Out: `dataset.Batch`, tensors in [-1, 1]. Entry point: `dataset.Dataset`. The
content of a batch depends on the seed and its number only, never on threads or the cache. Videos
are turned into images by `trainer.prepare`.

- `dataset`: batches of photos, drawings, cartoons and smoothed cartoons.
- `photos`: crops of photos with their drawings, which are cached on disk.
- `cartoons`: crops of cartoons with their smoothed copies.
- `line_art`: crops of line art with the art that it is drawn from, for `paint`.
- `images`: finds, reads and resizes images, in an order that the seed decides.
- `drawing`: the drawing of a photo in two layers, flat color and ink: the target of `cel`.
- `regions`, `ink`, `faces`: its flat color, its lines, where faces are.
- `edge_flow`, `planes`: filters along edges, and other filters that drawings share.
- `flat_drawing`: the drawing of a photo in one image, the target of `lite`.
- `edge_smoothing`: cartoons without clear edges, for the edge-promoting adversarial loss.
- `color`: YUV and luminance of tensors.
- `color_transfer`: gives drawings the mean and the contrast of the cartoons' colors.
- `palette`: gives drawings with layers the palette of the cartoons.
- `layer_changes`: wider lines and rounder shapes for a style's own hand; crops with faces.
- `tile_memory`: decoded images that stay in memory.
"""
