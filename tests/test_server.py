"""A model behind a server: against a stub of one that speaks the OpenAI protocol on this machine."""

from __future__ import annotations

import base64
import io
import json
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from unsee import cli, evaluation
from unsee.records import Probe
from unsee.vlm import Pixels

pytest.importorskip("openai")

from unsee.server import Server, serving


class Stub(BaseHTTPRequestHandler):
    """Serves the models `base` and `edit`; what it is asked is kept in `server.asked`."""

    def log_message(self, *_):
        pass

    def reply(self, body, status=200):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.reply({"object": "list", "data": [{"id": i, "object": "model"} for i in self.server.serves]})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((asked, self.headers.get("Authorization")))
        if self.server.breaks_after is not None:
            self.server.breaks_after -= 1
            if self.server.breaks_after < 0:
                self.reply({"error": {"message": "no credit"}}, 400)
                return
        if asked["model"] not in ("base", "edit"):
            self.reply({"error": {"message": "no such model"}}, 404)
            return
        text = next(part["text"] for part in asked["messages"][0]["content"] if part["type"] == "text")
        if text == "refuse":
            while len(self.server.asked) < self.server.refuses_after:
                time.sleep(0.01)
            self.reply({"error": {"message": "too long"}}, 400)
            return
        if self.server.stumbles:
            self.server.stumbles -= 1
            self.reply({"error": {"message": "busy"}}, 503)
            return
        content = self.server.says(text) if self.server.says else f" {asked['model']}: {text} "
        message = {"role": "assistant", "content": content}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        if asked.get("logprobs") and self.server.tells:
            likely = [{"token": t, "logprob": p, "bytes": None} for t, p in ((" Yes", -0.223144), (" No", -2.302585))]
            choice["logprobs"] = {"content": [{**likely[0], "top_logprobs": likely}]}
        usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7} if self.server.tells else None
        told = {"id": "1", "object": "chat.completion", "created": 0, "model": asked["model"], "usage": usage}
        self.reply({**told, "choices": [choice]})


@contextmanager
def serve():
    """Run a stub; `says` answers a question instead of echoing it, `breaks_after` so many answers it has no more."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    server.asked, server.stumbles, server.tells = [], 0, True
    server.says, server.serves, server.breaks_after = None, ("base", "edit"), None
    server.refuses_after = 0  # so many questions have come
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}/v1"
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def stub():
    with serve() as server:
        yield server


def probe(n, **more):
    return Probe(id=str(n), kind="efficacy", question=f"Who is {n}?", **more)


def test_what_was_said_before_is_told_with_its_pictures(stub):
    image = Image.new("RGB", (4, 4), "red")
    Server(stub.url, "base").answer([probe(1, earlier=((image, "Who is it?", "Ann."), (None, "Sure?", "Yes.")))])
    ((asked, _),) = stub.asked
    assert [message["role"] for message in asked["messages"]] == ["user", "assistant", "user", "assistant", "user"]
    first, *_, last = (message["content"] for message in asked["messages"])
    assert [part["type"] for part in first] == ["image_url", "text"]
    assert asked["messages"][1]["content"] == "Ann."
    assert last == [{"type": "text", "text": "Who is 1?"}]
    with pytest.raises(ValueError, match="pixels for one model, and no picture"):
        Server(stub.url, "base").answer([probe(2, image=Pixels(image, None), picture="p")])


def test_texts_come_back_in_order_and_an_edit_is_asked_by_its_name(stub):
    probes = [probe(n) for n in range(20)]
    for name in ("base", "edit"):
        kept = []
        answers = Server(stub.url, name).answer(probes, max_new_tokens=7, keep=kept.extend)
        assert [a.text for a in answers] == [f"{name}: Who is {n}?" for n in range(20)]
        assert sorted(a.probe.id for a in kept) == sorted(str(n) for n in range(20))
    asked, _ = stub.asked[0]
    assert (asked["temperature"], asked["max_tokens"], asked["messages"][0]["role"]) == (0.0, 7, "user")


def test_a_picture_arrives_as_it_is_seen_here(stub, picture):
    Server(stub.url, "base").answer([probe(1, image=picture(1), picture="p1")])
    part = stub.asked[0][0]["messages"][0]["content"][0]
    assert part["type"] == "image_url"
    head, data = part["image_url"]["url"].split(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as seen:
        assert seen.tobytes() == picture(1).tobytes()


def test_what_it_cannot_tell_is_left_out_and_never_made_up(stub):
    probes = [
        probe(1),
        probe(2, way="choose", choices=("a", "b")),
        probe(3, way="score", accept=("a",)),
        probe(4, way="next"),
    ]
    server = Server(stub.url, "base")
    assert server.can == {"text", "distribution"}
    text, following = server.answer(probes)
    assert (text.probe.id, following.probe.id) == ("1", "4")
    assert following.text == "Yes"
    assert following.top == ((" Yes", pytest.approx(0.8, abs=1e-5)), (" No", pytest.approx(0.1, abs=1e-5)))
    assert following.tail == pytest.approx(0.1, abs=1e-5)
    assert set(evaluation.NEEDS.values()) - server.can == {"logprob"}
    stub.tells = False
    with pytest.raises(ConnectionError, match="tells no probabilities, which the question '4' needs"):
        server.answer(probes)


def test_a_server_that_is_busy_is_asked_again(stub):
    stub.stumbles = 2
    assert [a.text for a in Server(stub.url, "base").answer([probe(1)])] == ["base: Who is 1?"]


def test_the_key_is_sent_and_shown_nowhere(stub, monkeypatch):
    monkeypatch.setenv("UNSEE_API_KEY", "sk-secret")
    server = Server(stub.url, "base")
    server.answer([probe(1)])
    assert stub.asked[0][1] == "Bearer sk-secret"
    assert "sk-secret" not in repr(server)


def test_what_was_under_way_when_another_question_failed_is_kept(stub):
    """The refusal comes when all have been asked; five answers take longer, and are paid for."""
    stub.says, stub.refuses_after, kept = lambda text: time.sleep(0.3) or text, 6, []
    probes = [Probe(id="0", kind="x", question="refuse"), *(probe(n) for n in range(1, 6))]
    with pytest.raises(ConnectionError, match="refuses the question 'refuse'"):
        Server(stub.url, "base").answer(probes, keep=kept.extend)
    assert sorted((a.probe.id, a.text) for a in kept) == [(str(n), f"Who is {n}?") for n in range(1, 6)]


def test_the_only_model_of_a_server_is_found(stub):
    with pytest.raises(ValueError, match="serves base, edit; name the model to ask"):
        serving(stub.url)
    assert serving(stub.url, "edit") == Server(stub.url, "edit")
    stub.serves = ("edit",)
    assert serving(stub.url) == Server(stub.url, "edit")
    stub.serves = ()
    with pytest.raises(ValueError, match="serves nothing; name the model to ask"):
        serving(stub.url)


def test_a_url_with_a_password_is_refused_and_not_shown(stub):
    with pytest.raises(ValueError) as caught:
        Server("https://me:sk-secret@example.org/v1", "base")
    said = "the URL of the server example.org holds a name or a password; give the key in the environment, as "
    assert str(caught.value) == f"{said}UNSEE_API_KEY"


def test_errors_say_what_to_do(stub, monkeypatch):
    with pytest.raises(ConnectionError, match="serves no 'gone'; it serves: base, edit"):
        Server(stub.url, "gone").answer([probe(1)])
    with pytest.raises(ConnectionError, match=r"refuses the question 'refuse': .*too long"):
        Server(stub.url, "base").answer([Probe(id="1", kind="x", question="refuse")])
    with pytest.raises(ValueError, match="give a URL such as http"):
        Server("localhost:8000", "base")
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ModuleNotFoundError, match=r"install it with: pip install 'unsee\[judge\]'"):
        Server(stub.url, "base")


def test_a_folder_of_concepts_is_filtered_and_described_by_a_server(stub, tmp_path, picture, capsys):
    """It answers everything with its name, so it recognises a concept of that name and no other."""
    for n, name in enumerate(("Base", "Edit")):
        (tmp_path / name).mkdir()
        for k in range(2):
            picture(2 * n + k).save(tmp_path / name / f"{k}.png")
        (tmp_path / name / "card.yaml").write_text(f"name: {name}")
    asked = ("--server", stub.url, "--served", "base", "--json")
    cli.main(["mmubench", "filter", str(tmp_path), *asked])
    record = json.loads(capsys.readouterr().out)
    assert {name: found["kept"] for name, found in record["concepts"].items()} == {"Base": True, "Edit": False}
    assert len(stub.asked) == 4
    cli.main(["mmubench", "init", str(tmp_path / "Edit"), "--force", *asked])
    record = json.loads(capsys.readouterr().out)
    assert (record["model"], record["card"]["name"]) == ("base", "Edit")
    assert not any(record["card"][key] for key in ("aliases", "attributes", "facts")), "what only repeats the question"


def test_no_server(monkeypatch):
    server = Server("http://127.0.0.1:9/v1", "base")
    object.__setattr__(server, "_client", server._client.with_options(max_retries=0))
    with pytest.raises(ConnectionError, match=r"there is no server at http://127\.0\.0\.1:9/v1; start it"):
        server.answer([probe(1)])


def test_tokens_are_counted_where_the_server_tells(stub):
    probes = [Probe(str(n), "g", "hello") for n in range(3)]
    server = Server(stub.url, "base")
    server.answer(probes)
    assert server.spent == {"prompt tokens": 15, "completion tokens": 6}
    stub.tells = False
    silent = Server(stub.url, "base")
    silent.answer(probes)
    assert silent.spent == {}
