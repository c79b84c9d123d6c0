"""Algorithm 1 on a device: training, evaluation, checks and benchmarks; yields records and writes nothing.

    trainer.py             Algorithm 1, epoch by epoch: score, draw, perturb, train; then validate and record
    scoring.py             where an epoch's scores come from
    perturb.py             from an attack's description to x′
    steps.py               the training steps of an epoch
    batches.py             the set on the device: shuffling, x′ for x, augmentation
    recording.py           what is kept of the perturbed images, and what the network predicted for them
    capture.py             whole training steps as CUDA graphs
    counting.py            which images stay correct: clean, after FGSM, under PGD
    evaluation.py          accuracy under an attack over a grid of ε, with a verdict on every image
    autoattack.py          the standard AutoAttack, by pyautoattack
    checks.py              signs that robustness is not real, for any network
    networks.py            networks from configs, to and from checkpoints
    own.py                 custom networks and scores: imported, and their code's digest
    admission.py           checks of custom networks and scores on a few images, before training
    streams.py             one random stream for each use of chance
    device.py              device, threads, versions, stopwatch
    bench.py               `aat bench`: contenders, rounds, counts
    baselines.py           what one would write or install instead: the textbook loop, ART
    baseline_attacks.py    the attacks in it: written out, foolbox's, torchattacks'
    measures.py            operations, bytes, memory, and the machine's rates
    fidelity.py            cheap scores against the paper's

All random numbers of a training come from `streams`, so that a resumed run equals an uninterrupted one.
"""
