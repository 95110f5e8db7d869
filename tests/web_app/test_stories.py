"""What people do with the app, in a real browser, against the real service on a database of its own."""

from tests.web_app.conftest import Tell


def test_two_browsers_tell_the_whole_story_of_a_couple(tell: Tell) -> None:
    told = tell("couple")
    assert told == {"faults": [], "elsewhere": [], "left": []}
