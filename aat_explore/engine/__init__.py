"""Algorithm 1 on a device; yields records and writes nothing.

    trainer.py      Algorithm 1, epoch by epoch: score, draw, perturb, train; then validate and record
    scoring.py      where an epoch's scores come from
    perturb.py      from an attack's settings to x′
    steps.py        the training steps of an epoch
    batches.py      the set on the device: shuffling, x′ for x, augmentation
    recording.py    the recorded perturbed images, and the network's predictions for them
    capture.py      whole training steps as CUDA graphs
    counting.py     which images stay correct: clean, after FGSM, under PGD
    networks.py     networks from configs, to and from checkpoints
    first_layer.py  a faster first convolution for StdCNN on the CPU
    custom.py       custom networks, scores and attacks: importing them, and the digest of their code
    admission.py    checking these on a few images before training
    streams.py      one random stream for each use of random numbers
    device.py       device, threads, versions, stopwatch

All random numbers of a training come from `streams`, so that a resumed run equals an uninterrupted one.
"""
