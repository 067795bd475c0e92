"""Figures of the quality of a style: FID, KID, content similarity, sharpness and warping error.

Engines, a folder of photos, a folder of cartoons and videos go in; an `Evaluation` comes out. The
door is `evaluate`.

- evaluate: runs the engines over photos and videos and collects the figures
- measure_crops: runs engines and the network over crops
- crops: which crops of which images are compared
- feature_network: ResNet-50, whose features are compared
- fid_kid: distances between sets of features
- sharpness: flat areas and sharp lines, from the pixels alone
- warping_error: flicker of a video
- results: the figures, and their JSON
"""
