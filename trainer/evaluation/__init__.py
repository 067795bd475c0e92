"""Figures of the quality of a style: does it look like art, what does it keep, does it flicker.

Engines or pictures of other programs, a folder of photos, a folder of cartoons and videos go in; an
`Evaluation` comes out. Entry point: `evaluate`.

- evaluate: runs the programs over photos and videos and collects the figures
- programs: an engine, or a folder of pictures that another program made
- measure_crops: crops of photos and cartoons, and the network that compares them
- crops: which crops of which images are compared
- feature_network: ResNet-50, whose features are compared
- fid_kid: distances between sets of features
- sharpness: flat areas, hard steps and sharp lines, from the pixels alone
- measure_photos: whole photos: the share that looks like art, and the ink kept
- art: which images the cartoon classifier learns from
- cartoon_classifier: tells art from photos
- edits: simple edits of photos, with which the classifier is checked
- ink_kept: how much of the drawing's ink a cartoon has
- face_landmarks: how far the landmarks of faces are moved
- warping_error: flicker and change of a video
- results: the figures, and their JSON
"""
