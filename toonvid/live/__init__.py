"""Live conversion: frames of a camera go in, cartoons go out at once to a window, a page and more.

In: a webcam, a network camera, the screen, a file or a browser's camera. Out: cartoon frames in any
of a window, a web page, a virtual camera and a recording. The newest frame wins: a machine that is
too slow drops frames instead of falling behind. Files that become files are not converted here, see
`toonvid.pipeline`.

Entry point: `session.LiveSession`; `toonvid.commands.live` puts all parts together.

    feed            what an open source of frames is, and what can be asked of one
    ffmpeg_feed     opens files, network cameras, the screen and FFmpeg's test patterns
    webcam          opens webcams with OpenCV
    screen_capture  captures the screen with FFmpeg, on X11 in a process of its own
    camera          reads a feed on a thread, keeps its newest frame, reconnects
    camera_clock    pts of a source -> pts that count from the opening of the camera
    audio_buffer    audio packets of the camera, kept until a recording takes them
    live_stylizer   frame -> cartoon; changes style; chooses a size that is fast enough
    controls        what the user has asked for so far: style settings, wipe, recording
    session         the live loop: camera -> stylizer -> outputs
    meter           counts shown frames, their rate and their delay; the statistics of a session
    window          output: a window, with its keys and mouse
    display         checks whether a window can be opened
    snapshot        writes one frame as a PNG, and names files by date
    recorder        output: starts and stops recordings
    recording       one recording: frames and audio packets -> a video file
    virtual_camera  output: a webcam that other programs can choose
    web/            output: a page in a browser
"""
