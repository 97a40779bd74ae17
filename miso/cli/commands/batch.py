"""batch: the lines of a table, a sound file each."""

from __future__ import annotations

import hashlib
import sys
from argparse import Namespace
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...audio.files import check_suffix, write_audio
from ...checkpoints.find import PUBLISHED, find_vocoder, models_folder
from ...checkpoints.voices import find_voice
from ...codes.store import Store
from ...errors import MisoError, counted
from ...files import file_digest
from ...generation.lines import line_seeds, prepare_line
from ...generation.turn_settings import TurnSettings
from ...text.conditioning import Segment
from ...text.length import expected_seconds
from ...text.script import Turn
from ...text.table import TableLine, read_table
from ...text.voice import Voice
from ..arguments import in_options
from .loading import check_place, choose_sampling, load_miso, read_pronunciations
from .manifest import Manifest
from .progress import ProgressLine
from .workers import Job, Result, Setup, Worker, say_on_ray

KEPT = "kept"  # folder of codes by their keys, in that of the sounds


@dataclass(eq=False)
class _Entry:
    """A line that isn't finished: its record in the manifest, and the keys of its codes and files."""

    record: dict[str, Any]
    codes_key: str
    key: str
    job: Job


def batch(args: Namespace) -> int:
    """Returns 1 if lines failed."""
    check_suffix(f"sound.{args.format}")
    if args.slots < 1 or (args.workers is not None and args.workers < 1):
        raise MisoError("--slots and --workers are 1 or more.", "Leave them out for the usual number.")
    return _Batch(args).run()


class _Batch:
    """One run of the command."""

    def __init__(self, args: Namespace):
        self.args, self.folder = args, Path(args.out)
        self.table, self.manifest = read_table(args.table), Manifest(self.folder)
        self.store = Store(self.folder / KEPT)
        check_place(self.manifest.path)
        self.models = Path(args.models or models_folder())
        self.pronunciations = read_pronunciations(args)
        self.miso = load_miso(args, self.pronunciations)
        checkpoint, sampling = self.miso.checkpoint, choose_sampling(args, self.miso)
        self.settings = TurnSettings(
            fingerprint=checkpoint.fingerprint,
            precision=str(self.miso.precision),
            sampling=sampling,
            depth_sampling=sampling,
            codebooks=args.codebooks or checkpoint.config.codebooks,
            max_seconds=args.max_seconds or 0,
            path=args.path,
        )
        self.vocoder = Path(
            args.vocoder or find_vocoder(checkpoint.config.codec, checkpoint.folder, self.models)
        )
        self._sound = [file_digest(self.vocoder), args.backend, args.format, args.codes]
        self._voices: dict[str, Voice] = {}

    def run(self) -> int:
        if self.table.ignored:
            print(f"Columns that are left alone: {', '.join(self.table.ignored)}", file=sys.stderr)
        entries = self._entries()
        self.manifest.write()  # a folder that can't be written to is known now
        finished = sum(line["status"] == "done" for line in self.manifest.lines)
        try:
            with closing(self._results([entry.job for entry in entries.values()])) as results:
                for result in results:
                    self._finish(entries[result.number], result)
        finally:  # also after Ctrl-C
            self.manifest.write()
        lines = self.manifest.lines
        done = sum(line["status"] == "done" for line in lines)
        failed = len(lines) - done
        print(
            f"{counted(len(lines), 'line')}: {done - finished} said now, {finished} finished before, "
            f"{failed} failed. See {self.manifest.path}",
            file=sys.stderr,
        )
        return 1 if failed else 0

    def _entries(self) -> dict[int, _Entry]:
        """The lines that are not finished, by row. Those that can't be said are reported."""
        lines, entries = self.table.lines, {}
        turns = [Turn(line.text, self._speaker(line)) for line in lines]
        seeds = line_seeds(self.args.seed, turns)
        for line, turn, seed in zip(lines, turns, seeds):
            seed = seed if line.seed is None else line.seed
            about = {"text": line.text, "speaker": turn.speaker, "voice": line.voice, "seed": seed}
            record = self.manifest.add(line.row, line.name, **about)
            try:
                entry = self._entry(line, turn, seed, record)
            except MisoError as e:
                self._fail(record, in_options(e, self.args))
                continue
            if not self.manifest.take_finished(record, entry.key):
                entries[line.row] = entry
        return entries

    def _entry(self, line: TableLine, turn: Turn, seed: int, record: dict[str, Any]) -> _Entry:
        if line.problem:
            raise MisoError(line.problem)
        voice = self._voice(line)
        said, key = prepare_line(self.miso.text, turn, seed, self.settings, voice)
        self._remark(line)
        found = self.store.get(key)
        job = Job(
            line.row,
            said.conditioning.segments,
            seed,
            said.max_frames,
            said.rows,
            None if found is None else found[0],
        )
        files = hashlib.sha256(repr([key, *self._sound]).encode()).hexdigest()
        return _Entry(record, key, files, job)

    def _speaker(self, line: TableLine) -> int:
        """The speaker of a line: its own, otherwise that of its voice."""
        if line.speaker is not None or not line.voice:
            return line.speaker or 0
        try:
            return self._load(line.voice).speaker
        except MisoError:
            return 0  # reported when the line is prepared

    def _voice(self, line: TableLine) -> Segment | None:
        if not line.voice:
            return None
        voice = self._load(line.voice)
        return (voice if line.speaker is None else replace(voice, speaker=line.speaker)).segment()

    def _load(self, name: str) -> Voice:
        if name not in self._voices:
            self._voices[name] = Voice.load(find_voice(name, Path(self.args.table).parent, self.models))
        return self._voices[name]

    def _remark(self, line: TableLine) -> None:
        if left_out := self.miso.text.read(line.text).left_out:
            print(f"row {line.row}: left out: {', '.join(left_out)}", file=sys.stderr)
        taught, seconds = self.miso.checkpoint.config.taught_seconds, expected_seconds(line.text)
        if taught and seconds > taught:
            print(
                f"row {line.row}: about {seconds:.0f} s; this checkpoint was taught lines of up to "
                f"{taught:.0f} s: make it several lines",
                file=sys.stderr,
            )

    def _results(self, jobs: list[Job]) -> Generator[Result, None, None]:
        if not jobs:
            return
        args, miso = self.args, self.miso
        setup = Setup(
            checkpoint=str(miso.checkpoint.path.resolve()),
            vocoder=str(self.vocoder.resolve()),
            backend=args.backend,
            device=args.device,
            precision=str(miso.precision),
            tokenizer=str(Path(args.tokenizer or PUBLISHED["tokenizer"].path(self.models)).resolve()),
            sampling=self.settings.sampling,
            codebooks=args.codebooks,
            slots=args.slots,
            path=args.path,
            pronunciations=self.pronunciations,
            loras=tuple((str(Path(file).resolve()), strength) for file, strength in args.lora),
        )
        if args.ray or args.workers:
            with ProgressLine("lines", len(jobs)) as progress:
                results = say_on_ray(setup, jobs, args.workers, args.ray or "local")
                for done, result in enumerate(results, 1):
                    progress(done)
                    yield result
            return
        with ProgressLine("sampling", 0) as progress:
            yield from Worker(setup, miso).say(jobs, progress)

    def _finish(self, entry: _Entry, result: Result) -> None:
        record, codes = entry.record, result.codes
        self.store.put(entry.codes_key, codes)
        if not codes.frames:
            self._fail(record, "nothing was said: give it another seed")
            return
        take, sound = codes.takes[0], self.folder / f"{record['name']}.{self.args.format}"
        write_audio(sound, result.waveform, result.sample_rate)
        files = [sound]
        if self.args.codes:
            files.append(self.folder / f"{record['name']}.safetensors")
            codes.save(files[-1])
        self.manifest.finish(record, entry.key, files, seconds=codes.seconds[0], stop=take.stop)
        print(sound)
        if take.stop == "limit":
            print(f"row {record['row']}: cut at the time limit: raise --max-seconds", file=sys.stderr)

    def _fail(self, record: dict[str, Any], problem: str) -> None:
        self.manifest.fail(record, problem)
        print(f"row {record['row']}: {problem}", file=sys.stderr)
