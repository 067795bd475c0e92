"""Networks: generators, discriminators, and the pretrained networks that losses use.

In: a `TrainConfig`. Out: modules that map (N, 3, H, W) in [-1, 1] to cartoons, to logits or to
features. Entry points: `build.make_generator`, `build.make_discriminator` and
`content_features.load_content_features`.

    paper             generator and discriminator of CartoonGAN's figure 2, and an improved variant
    cel               the layered generator: flat color and ink, composed by a fixed function
    lite              the real-time generator and its discriminator
    build             creation of the networks that a config names; parameters and multiply-adds
    content_features  VGG-19 and ResNet-50 for the content and style losses
    engine_weights    the generator of a `cel` engine, from its file
    weights           reading and downloading of pretrained weights
    checkpointing     gradient checkpointing

Left out: losses and training (`trainer.training`), and the conversion to engines
(`trainer.exporting`).
"""
