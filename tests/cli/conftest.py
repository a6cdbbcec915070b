from finished_fixture import finished, finished_once

__all__ = ["finished", "finished_once"]
