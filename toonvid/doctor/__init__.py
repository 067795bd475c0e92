"""Doctor: what works on this machine, what is missing and what is broken.

In: nothing but the machine. Out: a `DoctorReport` of `CheckResult`s. Nothing is repaired
here, and nothing printed. Checks that may hang or crash run in processes of their own. Entry point:
`examine.examine`.

    examine         runs all checks at once and collects the report
    check_result    the result of one check
    child_process   runs a check in a process of its own
    cpu             CPU and vector instructions
    gpu             NVIDIA GPUs and their driver; Intel GPUs without a driver
    backends        backends, each with one small frame
    training        PyTorch, and whether it can use the GPU
    codecs          encoders and decoders, in software and hardware
    devices         cameras, virtual camera and display for live video
    files           engines, cached plans and downloaded weights
"""
