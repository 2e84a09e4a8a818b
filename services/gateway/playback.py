"""What a client is playing of the sound that it was sent, as far as one can know it from here."""

from dataclasses import dataclass


@dataclass
class _Track:
    """The sound of one item. ends_s: when what was sent of it will have been played."""

    item_id: str
    sent_s: float
    ends_s: float


class Playback:
    """Sound plays in the order in which it was sent: from the moment it was sent, or from the end of what came before.
    Moments are seconds on the caller's clock."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []

    @property
    def ends_s(self) -> float:
        """When all will have been played that was sent."""
        return self._tracks[-1].ends_s if self._tracks else float("-inf")

    def add(self, item_id: str, seconds: float, now_s: float) -> None:
        """More sound of an item was sent."""
        start_s = max(now_s, self.ends_s)
        if not self._tracks or self._tracks[-1].item_id != item_id:
            self._tracks = [track for track in self._tracks if track.ends_s > now_s]
            self._tracks.append(_Track(item_id, 0.0, start_s))
        track = self._tracks[-1]
        track.sent_s, track.ends_s = track.sent_s + seconds, start_s + seconds

    def is_playing(self, item_id: str, now_s: float) -> bool:
        """Whether there is sound of the item that was not played."""
        return any(track.item_id == item_id and track.ends_s > now_s for track in self._tracks)

    def cut(self, now_s: float) -> dict[str, float]:
        """The client throws away what it has not played: item -> seconds of it that were heard, of those that were not
        heard to their end."""
        unheard = {track.item_id: min(track.sent_s, max(0.0, track.ends_s - now_s)) for track in self._tracks}
        heard = {track.item_id: track.sent_s - unheard[track.item_id] for track in self._tracks}
        self._tracks.clear()
        return {item_id: seconds for item_id, seconds in heard.items() if unheard[item_id] > 0}
