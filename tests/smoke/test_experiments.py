"""The experiments' frame: the command, the table writer, and a training loop that resumes where it ended."""

from __future__ import annotations

from dataclasses import replace

import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from algos.experiments import results, training  # noqa: E402
from algos.experiments.__main__ import main  # noqa: E402
from algos.experiments.catalogue import EXPERIMENTS  # noqa: E402
from algos.experiments.registry import Run  # noqa: E402


def test_the_command_lists_every_experiment_and_names_the_nearest() -> None:
    listed = CliRunner().invoke(main, [])
    assert listed.exit_code == 0
    assert all(name in listed.output for name in EXPERIMENTS)
    wrong = CliRunner().invoke(main, ["digit_vit"])
    assert wrong.exit_code == 2
    assert "did you mean 'digits_vit'?" in wrong.output


def test_a_table_is_written_whole_or_not_at_all(tmp_path) -> None:
    path = tmp_path / "table.csv"
    results.write(path, [{"a": 1, "b": "x"}])
    with pytest.raises(ValueError, match="in one table"):
        results.write(path, [{"a": 2, "b": "y"}, {"a": 3}])
    with pytest.raises(ValueError, match="no rows"):
        results.write(path, [])
    assert path.read_text() == "a,b\n1,x\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_cell_is_made_once_until_its_table_is_written(tmp_path) -> None:
    run, made = Run("table", 0, tmp_path, _all), []

    def make() -> list[dict[str, int]]:
        made.append(1)
        return [{"a": len(made)}]

    assert [run.cell("x", make), run.cell("x", make), run.cell("y", make)] == [[{"a": 1}], [{"a": 1}], [{"a": 2}]]
    assert replace(run, seed=1).cell("x", make) == [{"a": 3}]
    run.forget()
    assert run.cell("x", make) == [{"a": 4}]


def test_an_interrupted_training_ends_as_an_uninterrupted_one(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(training, "SNAPSHOT_EVERY_S", 0.0)
    monkeypatch.setattr(training, "CURVE_POINTS", 5)
    steps, stop = 20, 9
    whole = _weights(Run("whole", 3, tmp_path, _all), steps)
    cut = Run("cut", 3, tmp_path, _all)
    _train_until(cut, steps, stop)
    resumed = _weights(cut, steps)
    assert torch.equal(whole, resumed)
    assert not torch.equal(whole, _weights(replace(cut, name="other", seed=4), steps))
    assert list(tmp_path.iterdir()) == []


def _all(todo: range, total: int, done: int):
    return iter(todo)


def _train_until(run: Run, steps: int, stop: int) -> None:
    def track(todo: range, total: int, done: int):
        for step in todo:
            if step == stop:
                raise KeyboardInterrupt
            yield step

    with pytest.raises(KeyboardInterrupt):
        _weights(replace(run, track=track), steps)


def _weights(run: Run, steps: int) -> torch.Tensor:
    torch.manual_seed(0)
    model = torch.nn.ModuleDict(
        {"body": torch.nn.ModuleDict({"layer": torch.nn.Linear(6, 6)}), "head": torch.nn.Linear(6, 1)}
    )
    offsets = training.batches(100, 10, 4, run.seed)

    def loss(step: int) -> torch.Tensor:
        x = torch.sin(offsets(step)[:, None] + torch.arange(6.0))
        return (model["head"](model["body"]["layer"](x).relu()) - x.sum(1, keepdim=True)).square().mean()

    rates = training.Rates(hidden=1e-2, other=1e-2)
    curve = training.train(model, loss, steps, training.pretraining_optimizers(model, rates), run)
    assert curve[-1].step == steps
    return model["body"]["layer"].weight.detach().clone()
