"""Other people's cartoonizers become styles. Needs the extra `import` (the package `onnx`).

In: an `.onnx` file, or what OpenVINO reads of TensorFlow. Out: an engine in the user's folder of
styles, with a card. Entry points: `read_candidate.read_candidate` and `import_style.import_style`.

    source_file       reads a file, and refuses what may do harm
    trial_run         does so in another process first, with limits on memory and time
    prepare_graph     current operators, one input, one output
    facts, sizes      what the graph says: layout, ranges, frame sizes
    families          what it does not say, for known families of networks
    network           the network by itself, run as its own program would
    sheet             the choices side by side on one picture
    wrap              the engine contract around a network
    float16, int8     the other precisions; calibration: images for int8
    check             black, one color, equal to the input, far from float32: refused
    tensorflow_file   TensorFlow Lite and SavedModel, for the backend openvino alone
"""
