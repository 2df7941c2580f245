"""Checkpoints and served models as entries; models of the hub from a stand-in on loopback."""

from __future__ import annotations

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.cli import main as cli
from harness.errors import UsageError
from harness.plan.cells import make_plan
from harness.records import Records
from harness.spec.loading import load
from tests.chat_model import save_chat_model
from tests.documents import python
from tests.suites.judges.conftest import Answer, completion, server  # noqa: F401

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PROMPTS = [{"prompt": f"Question {n}?"} for n in range(3)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_chat_model(tmp_path_factory.mktemp("model") / "mine")


@pytest.fixture
def experiment(tmp_path, write):
    """An experiment over some entries without training, as a file."""

    def written(entries: dict, **others):
        prompts = str(write("prompts.jsonl", PROMPTS))
        data = {"source": "prompts", "prompts": {"set": prompts}}
        decoding = {"max_new_tokens": 4, "samples": 1, "temperature": 0.0}
        raw = {"schema": 1, "name": "mine", "title": "T", "data": data, "suites": ["style"], "decoding": decoding}
        path = tmp_path / "mine.yaml"
        path.write_text(json.dumps({**raw, "reference_point": {"readability": 0.0}, "methods": entries, **others}))
        return path

    return written


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    def ran(path) -> tuple[int, str]:
        where = ["--out", str(tmp_path / "out"), "--store", str(tmp_path / "store"), "--workers", "1"]
        monkeypatch.setattr("sys.argv", ["prefrontier", "run", str(path), *where])
        with pytest.raises(SystemExit) as exit:
            cli.main()
        printed = capsys.readouterr()
        return exit.value.code, printed.out + printed.err

    return ran


def test_a_checkpoint_and_its_adapter_answer_the_prompts(checkpoint, experiment, run, tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    adapter = tmp_path / "adapter"
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(adapter)
    entries = {"whole": {"checkpoint": str(checkpoint)}, "tuned": {"checkpoint": str(adapter), "base": str(checkpoint)}}
    code, said = run(experiment(entries))
    assert code == 0, said
    records = Records.read(tmp_path / "out" / "records")
    cells = records.cells.set_index("label").cell
    # A fresh adapter changes nothing, so both give the same responses.
    responses = {
        name: records.generations[records.generations.cell == cells[name]].response.tolist() for name in cells.index
    }
    assert len(responses["whole"]) == 3 and responses["whole"] == responses["tuned"]
    assert records.cells.n_parameters.gt(0).all()


def planned(path) -> str:
    with pytest.raises(UsageError) as error:
        make_plan(load(str(path)))
    return str(error.value)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "is no model folder: it has neither config.json nor adapter_config.json"),
        (lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"), "its weights are pickled (pytorch_model.bin)"),
        (lambda folder: [file.unlink() for file in folder.glob("tokenizer*")], "has no tokenizer"),
    ],
)  # fmt: skip
def test_a_folder_that_is_no_checkpoint_is_one_line(checkpoint, experiment, tmp_path, spoil, message):
    spoilt = tmp_path / "spoilt"
    shutil.copytree(checkpoint, spoilt)
    spoil(spoilt)
    assert message in planned(experiment({"a": {"checkpoint": str(spoilt)}}))


def test_a_checkpoint_with_another_tokenizer_is_one_line(checkpoint, experiment, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(checkpoint, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"vocab_size": 3}))
    assert "tokens and its model embeds 3" in planned(experiment({"a": {"checkpoint": str(other)}}))


@pytest.mark.parametrize("revision", [None, "main", COMMIT[:12]])
def test_a_model_of_the_hub_needs_its_commit(experiment, revision):
    entry = {"checkpoint": "owner/name"} | ({"revision": revision} if revision else {})
    assert "a model of the hub needs its commit, as in revision: 0123abcd" in planned(experiment({"a": entry}))


class Hub(BaseHTTPRequestHandler):
    """The hub's answers about models that do not exist, are gated or lack a commit."""

    def do_GET(self) -> None:
        code, error = 404, "RepoNotFound"
        if "owner/gated" in self.path:
            code, error = (403, "GatedRepo") if "auth-check" in self.path else (200, "")
        if "owner/moved" in self.path:
            code, error = 404, "RevisionNotFound"
        body = json.dumps({"id": "owner/gated", "sha": COMMIT, "siblings": []} if code == 200 else {"error": error})
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if error:
            self.send_header("X-Error-Code", error)
            self.send_header("X-Error-Message", "no")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body.encode())

    do_HEAD = do_GET

    def log_message(self, *_) -> None:
        """Nothing."""


@pytest.fixture
def hub():
    """The address of a stand-in for the hub."""
    service = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{service.server_address[1]}"
    service.shutdown()
    service.server_close()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("owner/gated", "owner/gated: is gated: accept its terms on the hub and log in"),
        ("owner/private", "the hub has no model 'owner/private' for you"),
        ("owner/moved", f"owner/moved: the hub has no revision '{COMMIT}' of it"),
        (None, "is not on this machine and the hub cannot be reached"),
    ],
)
def test_what_the_hub_refuses_is_one_line(experiment, tmp_path, hub, name, message):
    path = experiment({"a": {"checkpoint": name or "owner/any", "revision": COMMIT}})
    endpoint = hub if name else "http://127.0.0.1:9"
    words = ["-m", "prefrontier", "run", str(path), "--out", str(tmp_path / "out"), "--store", str(tmp_path / "store")]
    cache = {"HF_HOME": str(tmp_path / "cache"), "HF_TOKEN": "", "HF_HUB_OFFLINE": "0"}
    result = python(words, tmp_path, HF_ENDPOINT=endpoint, **cache)
    assert result.returncode == 4 and message in result.stderr, result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_served_model_answers_and_is_not_asked_twice(server, experiment, run, tmp_path):  # noqa: F811
    server.script = lambda request, n: Answer(
        completion("The cat sat on the mat all day.", finish_reason="length" if n == 0 else "stop")
    )
    entry = {"endpoint": {"base_url": server.base_url, "concurrency": 1}, "model": "m", "system": "Be brief."}
    path = experiment({"served": entry})
    code, said = run(path)
    assert code == 0, said
    records = Records.read(tmp_path / "out" / "records")
    assert sorted(records.generations.status) == ["ok", "ok", "truncated"]
    assert sorted(records.generations.prompt) == [row["prompt"] for row in PROMPTS]
    asked = server.requests[0]
    assert asked["messages"][0] == {"role": "system", "content": "Be brief."} and asked["max_tokens"] == 4
    assert (asked["temperature"], asked["seed"]) == (0.0, 0) and len(server.requests) == 3
    shutil.rmtree(tmp_path / "store" / "artifacts")
    assert run(path)[0] == 0 and len(server.requests) == 3


def test_a_served_model_elsewhere_needs_a_price(experiment):
    entry = {"endpoint": {"base_url": "https://example.com/v1"}, "model": "m"}
    assert "needs a 'price'" in planned(experiment({"served": entry}))
