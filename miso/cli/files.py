"""Arguments of the commands about model files: fetch, info, convert, export."""

from __future__ import annotations

from .arguments import CommandGroup, add_models, weights_file


def add_commands(group: CommandGroup) -> None:
    fetch = group.command("fetch", "download a published checkpoint")
    fetch.add_argument(
        "name",
        help="one of: miso-8b, miso-8b-bf16, csm-1b, mimi, lfm2-detokenizer, whisper-base, whisper-tiny.en, "
        "whisper-small, whisper-large-v3-turbo, tokenizer",
    )
    add_models(fetch)

    info = group.command("info", "describe a file")
    info.add_argument(
        "file", type=weights_file, help="a checkpoint, vocoder, codes or hidden states; a folder of shards"
    )

    convert = group.command("convert", "write a checkpoint in another precision")
    convert.add_argument(
        "input", type=weights_file, help="a checkpoint of any layout: a file, or a folder of shards"
    )
    convert.add_argument("output", help="the file to write (.safetensors)")
    convert.add_argument(
        "--precision", default="bf16", help="fp32, bf16, fp16, int8, fp8 or int4 (default bf16)"
    )

    export = group.command("export", "write a codec's decoder for ONNX Runtime, the vocoder backend 'onnx'")
    export.add_argument("input", type=weights_file, help="a Mimi codec (.safetensors)")
    export.add_argument("output", help="the file to write (.onnx), in models/miso_vocoders to be listed")
    export.add_argument(
        "--precision", default="fp32", help="fp32, or int8: two thirds of the size (default fp32)"
    )
