"""Drives the official Python SDK against the emulator; every step that holds is reported as `ok <name>`."""
import collections
import collections.abc
import hashlib
import http.server
import io
import os
import sys
import threading
import time
import traceback

sdk, authority, bucket, operator, password, picture, folder = sys.argv[1:]
sys.path.insert(0, sdk)
# The SDK's resumable upload asks for this name, which Python 3.10 moved.
collections.Callable = collections.abc.Callable

import upyun  # noqa: E402

up = upyun.UpYun(bucket, operator, password, endpoint=authority)
STEPS = []


def step(function):
    STEPS.append(function)
    return function


def md5(data):
    return hashlib.md5(data).hexdigest()


def fails(status, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except upyun.UpYunServiceException as error:
        assert error.status == status, (error.status, error.err)
        return error
    raise AssertionError("it did not fail")


@step
def usage_is_a_number():
    assert int(up.usage()) >= 0


@step
def text_is_stored():
    up.put("/py/text.txt", "hello")
    assert up.get("/py/text.txt") == "hello"


@step
def chinese_path_and_space_are_stored():
    up.put("/py/照片/旅行 1.txt", "中文")
    assert up.get("/py/照片/旅行 1.txt") == "中文"


@step
def picture_tells_its_size():
    with open(picture, "rb") as f:
        made = up.put("/py/cat.jpg", f, checksum=True)
    assert (made["width"], made["height"], made["frames"], made["file-type"]) == ("500", "333", "1", "JPEG"), made


@step
def thumb_is_made_before_storing():
    with open(picture, "rb") as f:
        made = up.put("/py/small.jpg", f, headers={"x-gmkerl-thumb": "/fw/100"})
    assert made["width"] == "100", made


@step
def file_is_streamed_to_disk():
    target = os.path.join(folder, "py-download.jpg")
    with open(target, "wb") as f:
        up.get("/py/cat.jpg", f)
    with open(target, "rb") as got, open(picture, "rb") as sent:
        assert got.read() == sent.read()


@step
def folder_is_listed():
    files = {one["name"]: one for one in up.getlist("/py")}
    assert files["text.txt"]["type"] == "N" and files["text.txt"]["size"] == "5"
    assert files["照片"]["type"] == "F"
    assert [one["name"] for one in up.iterlist("/py/照片")] == ["旅行 1.txt"]
    fails(404, up.getlist, "/py/missing")


@step
def listing_is_paged():
    for n in range(5):
        up.put("/py/pages/%d.txt" % n, "x")
    names, begin = [], None
    for _ in range(3):
        page = up.get_list_with_iter("/py/pages", limit=2, begin=begin, order="desc")
        names += [one["name"][0] for one in page["files"]]
        begin = page["iter"]
    assert "".join(names) == "43210", names
    assert begin == "g2gCZAAEbmV4dGQAA2VvZg"


@step
def head_tells_type_and_size():
    info = up.getinfo("/py/text.txt")
    assert (info["file-type"], info["file-size"], info["content-md5"]) == ("file", "5", md5(b"hello")), info
    assert up.getinfo("/")["file-type"] == "folder"
    fails(404, up.getinfo, "/py/missing")


@step
def folder_is_made_and_deleted():
    up.mkdir("/py/made")
    up.mkdir("/py/made")
    assert up.getinfo("/py/made")["file-type"] == "folder"
    assert up.getlist("/py/made") == []
    up.delete("/py/made")
    fails(403, up.delete, "/py/pages")


@step
def file_is_copied_moved_and_deleted():
    assert up.copy("/py/text.txt", "/py/copy.txt")["content-length"] == "5"
    up.move("/py/copy.txt", "/py/moved.txt")
    fails(404, up.getinfo, "/py/copy.txt")
    assert up.get("/py/moved.txt") == "hello"
    fails(404, up.copy, "/py/missing.txt", "/py/x.txt")
    up.delete("/py/moved.txt")
    fails(404, up.delete, "/py/moved.txt")


@step
def resumable_upload_joins_stages():
    path = os.path.join(folder, "py-large.bin")
    data = os.urandom(2 * 1024 * 1024 + 700)
    with open(path, "wb") as f:
        f.write(data)
    with open(path, "rb") as f:
        up.put("/py/large.bin", f, checksum=True, need_resume=True)
    assert up.getinfo("/py/large.bin")["content-md5"] == md5(data)
    with open(picture, "rb") as f:
        up.put("/py/one-part.jpg", f, need_resume=True)
    assert up.getinfo("/py/one-part.jpg")["file-type"] == "file"


@step
def resumable_upload_goes_on_where_the_server_is():
    path = os.path.join(folder, "py-large.bin")
    store = upyun.FileStore(directory=os.path.join(folder, "trace"))
    with open(path, "rb") as f:
        resumer = upyun.resume.UpYunResume(up.up_rest, "/py/resumed.bin", f, os.path.getsize(path), store=store)
        with resumer.trace as record:
            resumer.step(up.up_rest.do_http_request(**resumer.get_request(record)), record)
            # As after a crash in which an answer got lost: the client thinks of part 0, the server of part 1.
            record.update(start=0, end=1024 * 1024, next_id=0)
        resumer.upload()
    with open(path, "rb") as f:
        assert up.getinfo("/py/resumed.bin")["content-md5"] == md5(f.read())


@step
def parts_are_uploaded_in_any_order():
    parts = [os.urandom(1024 * 1024), os.urandom(1024 * 1024), b"end"]
    uploader = up.init_multi_uploader("/py/parts.bin", part_size=1024 * 1024, file_size=sum(map(len, parts)))
    for n in (2, 0, 1):
        uploader.upload(n, parts[n])
    uploader.complete(md5("".join(md5(part) for part in parts).encode()))
    assert up.getinfo("/py/parts.bin")["content-md5"] == md5(b"".join(parts))


@step
def parts_are_cancelled():
    uploader = up.init_multi_uploader("/py/cancelled.bin", part_size=1024 * 1024, file_size=3)
    uploader.cancel()
    fails(400, uploader.upload, 0, b"end")


@step
def form_uploads_a_file():
    with open(picture, "rb") as f:
        answer = up.put("/py/form/{filename}{filename}.{suffix}{.suffix}", f, form=True, expiration=60,
                        **{"ext-param": "roll 7", "content-md5": md5(open(picture, "rb").read())})
    assert answer["code"] == 200, answer
    assert answer["url"] == "/py/form/picturepicture.jpg.jpg", answer
    assert (answer["image-width"], answer["image-type"], answer["ext-param"]) == (500, "JPEG", "roll 7"), answer


@step
def form_refuses_an_expired_policy():
    with open(picture, "rb") as f:
        assert fails(403, up.put, "/py/form/late.jpg", f, form=True, expiration=-60)


@step
def callback_passes_the_sdks_own_check():
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append((self.path, dict(self.headers.items()), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with open(picture, "rb") as f:
        up.put("/py/notified.jpg", f, form=True,
               **{"notify-url": "http://127.0.0.1:%d/api/storage/callback" % server.server_port})
    deadline = time.time() + 10
    while not seen and time.time() < deadline:
        time.sleep(0.02)
    path, headers, body = seen[0]
    headers = {{"date": "Date", "content-md5": "Content-MD5"}.get(k.lower(), k): v for k, v in headers.items()}
    authorization = next(v for k, v in headers.items() if k.lower() == "authorization")
    assert up.verify_signature(authorization, path, headers)
    assert headers["Content-MD5"] == md5(body)
    assert not up.verify_signature(authorization, "/other", headers)
    server.shutdown()


@step
def urls_are_purged():
    # The SDK's purge endpoint is fixed, so the request is sent there through the emulator.
    up.hp.session.proxies = {"http": "http://" + authority}
    try:
        assert up.purge(["/py/text.txt"]) == []
        assert up.purge("/a.txt", domain="other.example.com") == ["/a.txt"]
    finally:
        up.hp.session.proxies = {}


@step
def wrong_password_is_refused():
    stranger = upyun.UpYun(bucket, operator, "wrong", endpoint=authority)
    error = fails(401, stranger.usage)
    assert "40100005" in error.err


failed = False
for one in STEPS:
    try:
        one()
        print("ok " + one.__name__, flush=True)
    except BaseException:
        failed = True
        print("FAILED " + one.__name__, file=sys.stderr)
        traceback.print_exc()
sys.exit(1 if failed else 0)
