"""The classic Caffe networks, every blob by Caffe's own formulas (campaigns/caffe_nets.py)."""

import pytest
from test_campaigns import campaign

CAFFE = campaign("caffe_nets")


@pytest.mark.parametrize("name", CAFFE.NETWORKS)
def test_every_blob_and_the_published_count(name):
    text, published = CAFFE.NETWORKS[name]
    wrong, compared = CAFFE.judge(name, text, published)
    assert wrong == []
    assert compared >= 8


def test_a_difference_is_seen():
    text, published = CAFFE.NETWORKS["cifar10_quick"]
    assert CAFFE.judge("", text.replace("pad: 2", "pad: 1", 1), published)[0]
    walked = CAFFE.pooling({"kernel_size": ["3"], "stride": ["2"], "pad": ["1"]}, [[8, 6, 7]])
    assert walked == [8, 4, 4]


def test_a_source_of_a_fork_states_no_size(tmp_path):
    import cnncalc

    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "data" type: "DenseImageData" top: "data" top: "label" }\n'
        'layer { name: "c" type: "Convolution" bottom: "data" top: "c"'
        " convolution_param { num_output: 4 kernel_size: 3 } }\n"
    )
    report = cnncalc.check(str(path), run=False)
    assert report.status() == 2
    assert "'data' states no size" in report.diagnostics[0].message
