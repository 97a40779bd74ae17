"""Training and fine-tuning of CSM-family models, and of the codec whose codes they speak.

    python -m miso train prepare SOURCE .. -o speech          sound files and texts -> one file of samples   (data)
    python -m miso train coder speech -o coder --minutes 3    the codes, learnt from spectrograms            (coder, melcoder)
    python -m miso train codec speech --coder coder/coder.safetensors -o codec --minutes 10   a small Mimi   (codec)
    python -m miso train codes speech --codec codec/codec.safetensors -o codes.safetensors                   (coded)
    python -m miso train vocoder speech --codes codes.safetensors --codec codec/codec.safetensors -o vocoder --minutes 6      (vocoder)
    python -m miso train listener speech -o listener --minutes 3      a recogniser of phonemes                (listener, listening)
    python -m miso train encoder speech --codec .. --vocoder .. --listener .. -o encoder --minutes 3          (encoder); codes and vocoder again
    python -m miso train lm codes.safetensors -o lm --minutes 12                                             (lm)
    python -m miso train finetune SOURCE .. --checkpoint lm/model.safetensors -o mine --steps 500 --rank 8   (finetune)
    python -m miso evaluate --checkpoint lm/model.safetensors --codec codec/codec.safetensors --source speech

Every run is a folder that it resumes from, with a record of what was done (run); settings and their reasons are in presets.
"""
