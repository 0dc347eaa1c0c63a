"""Faults in where images come from and in what a training sees of them."""

from tests.mutations.mutation import Mutation

MUTATIONS = (
    Mutation(
        "a crop looks half as far",
        "regen_lib/training/crops.py",
        "2 * padding + 1",
        "padding + 1",
        ("tests/test_crops.py::test_every_place_is_as_likely",),
    ),
    Mutation(
        "each process draws crops for its share alone",
        "regen_lib/training/crops.py",
        "len(x) * processes.world()",
        "len(x)",
        ("tests/test_crops.py::test_two_processes_cut_what_one_cuts",),
    ),
    Mutation(
        "CIFAR-10's red and blue are exchanged",
        "regen_lib/data/cifar10.py",
        "reshape(-1, *SHAPE)",
        "reshape(-1, *SHAPE).flip(1)",
        ("tests/test_cifar10.py::test_splits_are_the_archives_records",),
    ),
    Mutation(
        "any archive passes for CIFAR-10",
        "regen_lib/data/cifar10.py",
        '    check(path, {"sha256": SHA256}, ',
        "    check(path, {}, ",
        ("tests/test_cifar10.py::test_what_is_not_the_published_archive",),
    ),
    Mutation(
        "any sum passes for the published one",
        "regen_lib/data/download.py",
        "sums_of(file, published) == published",
        "set(sums_of(file, published)) == set(published)",
        ("tests/test_download.py::test_another_sum_of_any_kind_is_refused_and_leaves_nothing",),
    ),
    Mutation(
        "what a download goes on from is written over",
        "regen_lib/data/download.py",
        '"ab" if begin else "wb"',
        '"wb"',
        ("tests/test_download.py::test_a_cut_download_goes_on_or_starts_anew",),
    ),
    Mutation(
        "a download follows a redirect to http",
        "regen_lib/data/download.py",
        "HANDLERS = (web.ProxyHandler, ",
        "HANDLERS = (web.ProxyHandler, web.HTTPHandler, ",
        ("tests/test_download.py::test_no_redirect_leads_out_of_tls",),
    ),
)
