"""Training and fine-tuning of CSM-family models, and of the codec and vocoder for their codes.

The steps of ``python -m miso train``, and the modules that do them:

    prepare SOURCE .. -o speech                       sound files and texts into one file of samples  (data)
    coder speech -o coder                             codes from mel spectrograms     (coder, melcoder)
    codec speech --coder FILE -o codec                a small Mimi for these codes    (codec)
    codes speech --codec FILE -o codes.safetensors    encode the speech               (coded)
    vocoder speech --codes FILE --codec FILE -o vocoder                               (vocoder)
    listener speech -o listener                       a phoneme recogniser    (listener, listening)
    encoder speech --codec FILE --vocoder FILE --listener FILE -o encoder             (encoder)
    lm codes.safetensors -o lm                        a language model                (lm)
    finetune SOURCE .. --checkpoint FILE -o mine      new voices for a checkpoint     (finetune, lora)

After ``encoder``, run ``codes`` and ``vocoder`` again. ``python -m miso evaluate`` measures the result
(evaluate). Every run is a folder from which it resumes, with a record of what was done (run); presets
explains the settings.
"""
