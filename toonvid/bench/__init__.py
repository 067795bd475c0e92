"""Bench: how fast this machine converts, stage by stage.

In: an open backend and a frame size. Out: measurements as values. Entry point:
`measure.measure_size`. Nothing is printed here, and only `results` draws conclusions.

    measure             one frame size: stages alone, pipeline, null pipeline, and the rest below
    results             the measurements of one size, and what follows from them
    stages              decoding, stylizing and encoding, each alone
    null_pipeline       decoding and encoding without a cartoon between: the upper bound
    real_time_load      CPU load while a video is converted at its own frame rate
    child_process       a conversion in a new process: start-up time and memory
    image_time          a conversion of a still image in a new process
    core_scaling        frame rates with fewer CPU cores
    side_by_side        two backends by turns on the same video
    peak_arithmetic     multiply-adds per second in a matrix product
    live_latency        delay of live video, from a drawn camera to the screen
    drawn_clock         a clock drawn into frames, and read from them
    work_time           wall-clock and CPU time of some work
    test_video          the video that is measured with
    demo_scene          a drawn scene with sound, for demo, bench and tests
    canvas              what it is painted with: soft shapes, textures of noise
"""
