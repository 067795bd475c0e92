"""Conversions that survive the process: segments on disk, joined to a video at the end.

The same input as `toonvid.pipeline` goes in, and a target comes out whose bytes are the same
whether the conversion was stopped in between or not. Entry point: `segmented`.

- segmented: the public `convert`; resumes a conversion or begins it, and joins its segments
- segment_maker: decodes, stylizes and encodes frames to segments
- missing_segments: makes the segments that are not finished, one after the other
- segment_plan: where segments lie, found without decoding; separate_segments: makes some of them
  apart from the others, for `toonvid.cluster`
- eligibility: which conversions can be resumed, and why others cannot
- fingerprint: the `Job`, which tells whether two runs are the same conversion
- boundaries: where a video is split into segments, and how the place is found again
- segment_file: one segment on disk
- work_folder: the segments and the journal of one job, and room on the disk for them
- journal: the file that lists what is finished; journal_entries: what its lines say
- join: segments and auxiliary streams become one file
- job_state: how far a conversion has come, for `--status`
- finished_target: whether a target is finished already, for runs over folders
"""
