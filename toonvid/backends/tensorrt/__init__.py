"""Backend on TensorRT: NVIDIA GPUs from RTX 20 and GTX 16 on.

In: an engine and frames, (N, H, W, 3) uint8, RGB. Out: cartoons of the same shape, and plans
(compiled engines) in the user's cache folder. Entry point: `backend.TensorRTBackend`;
`toonvid build` uses `plan.build_plans`.

    backend         the backend: opens a GPU, keeps frames in flight, explains lack of memory
    plan            which plan an engine needs on a GPU; loads it from the cache or builds it
    build_plan      parse an engine's ONNX file and compile it
    plan_cache      the folder of plans on disk: names, checks, permissions
    inference       a plan on the GPU: memory, streams, copies, execution
    cuda            the CUDA calls that inference needs
    library         the TensorRT that is installed: `tensorrt` or `tensorrt_rtx`
"""
