"""Training: from a config and folders of images to a trained generator.

In: a `TrainConfig`, and `Sources` of images. Out: a run's folder with training states, a log and
contact sheets. Entry point: `train.train`, which reads top to bottom as what a run does.

    train         the training loop: batch, generator step, discriminator step, log, state on disk
    phases        losses and gradients of one step
    losses        the losses, each with its equation or source
    layer_losses  losses between the layers of `cel` and of a drawing
    step_inputs   inputs of a step, and their division into micro-batches
    perturbation  synthetic changes between two video frames, for the stability loss
    schedule      learning rate, and what is due after a step
    state         networks, optimizers and EMA: created, restored, warm-started
    state_file    files of training states
    memory        fallback when memory runs out: gradient checkpointing, smaller micro-batches
    precision     mixed precision
    monitors      detection of divergence and collapse
    open_dataset  the dataset of a run, from its config and its folders
    run_folder    a run's folder, and the record of what it was started with
    run_log       figures, events and contact sheets on disk
    sample_sheet  contact sheets of held-out photos
    distill       a trained generator as a teacher
    sweep         short runs that differ in one option
    dry_run       time and memory of one step of each phase

Left out: datasets (`trainer.data`), networks (`trainer.networks`) and the export of an engine
(`trainer.exporting`).
"""
