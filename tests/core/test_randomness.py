from afterimage.core.randomness import generator


def test_a_generator_follows_from_its_words_alone() -> None:
    draws = generator(0, "cat", 3).random(4).tolist()
    assert generator(0, "cat", 3).random(4).tolist() == draws
    others = [generator(1, "cat", 3), generator(0, "cat", 4), generator(0, "cat3"), generator(0, "ca", "t3")]
    assert len({tuple(other.random(4)) for other in others} | {tuple(draws)}) == 5
