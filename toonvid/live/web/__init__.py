"""Output: a page in a browser, with the live cartoon, its controls and the browser's own camera.

In: finished frames and the controls of a live session. Out: an HTTP server; what clients change
goes to the controls, and frames of a browser's camera go to the session's camera. It needs the
extra `live` (aiohttp and cryptography), imported when the server starts.

Entry point: `server.PageServer`.

    server        runs the HTTP server on a thread
    routes        what each address of the page answers
    access        checks the token, Host and Origin headers of each request
    certificate   makes the self-signed certificate for HTTPS
    mjpeg         the live cartoon as a Motion JPEG stream
    request_log   reports failed requests, one line a minute for each kind
    controls_api  the JSON of the controls: reports them, checks and applies changes
    page/         HTML, JavaScript and CSS
"""
