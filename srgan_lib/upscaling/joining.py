"""The last step of a video: its pieces, and everything else of the source, in one file that takes its name when it is whole."""

import heapq
from fractions import Fraction

from ..images import move
from .encoding import add_encoder
from .sinks import carried, container_options, dress, lost, real_packets
from .streams import open_film

NEARLY = 0.5  # seconds that may be missing at the end of a whole video
BEYOND = 10  # seconds behind --end that are read before everything counts as past


def join(job, segments) -> None:
    """Write the result of a `Job` whose frames are in `segments`."""
    av, whole = job.av, segments.folder / f"whole{job.target.suffix.lower()}"
    with open_film(av, job.source) as film, av.open(str(whole), "w", format=job.format, options=container_options(film, job.format, job.strip)) as out:
        sink = add_encoder(out, segments.look, job.crf, job.rate, job.base)
        streams = {index: carried(av, out, film.streams[index], copied, job.strip) for index, copied in job.carried.items()}
        dress(film, film.streams[job.index], out, sink, job.shift, None if job.end is None else job.end - job.start, bool(job.start), job.strip)
        out.start_encoding()
        reached, broken = mux(av, out, seen(av, segments, sink, job.base), heard(job, film, streams), job.shift)
        for stream in streams.values():
            stream.close()
    reached = max(reached, float(segments.end * job.base))  # frames are stored in another order than they are shown
    missing = (job.seconds if job.end is None else min(job.end, job.seconds)) - (job.start + reached)
    if segments.state["broken"] + broken or missing > NEARLY or job.cut_off and job.end is None:
        print(f"note: {job.name} is damaged; the {segments.state['frames']} frames that could be read, up to {job.start + reached:.1f} s, were kept")
    if gone := lost(av, job.source, whole, job.index, bool(job.start or job.end), job.strip):
        print(f"note: {job.target.suffix} does not hold {', '.join(gone)} of the source")
    move(whole, job.target)


def mux(av, out, pictures, others, shift: Fraction) -> tuple[float, int]:
    """Write packets by their time -> (the second that was reached, packets that could not be used)."""
    reached, broken = 0.0, 0
    for moment, _, packet, sink in heapq.merge(pictures, others, key=lambda item: item[:2]):
        reached = max(reached, moment + float((packet.duration or 0) * packet.time_base))
        if sink is None:
            out.mux(packet)
            continue
        try:
            sink.mux(packet, round(shift / packet.time_base))
        except (av.error.InvalidDataError, ValueError):  # the latter: time stamps that no container takes
            broken += 1
    return reached, broken


def seen(av, segments, sink, base: Fraction):
    """(second, 0, packet, None) for every packet of the pieces."""
    for pts, dts, duration, key, data in segments.packets():
        packet = av.Packet(data)
        packet.stream, packet.time_base = sink, base
        packet.pts, packet.dts, packet.duration, packet.is_keyframe = pts, dts, duration, key
        yield float(dts * base), 0, packet, None


def _line_within(packet, moment: float, job) -> float:
    """Cut a line of subtitles that --start or --end meets -> the second at which it begins."""
    base, begin, end = packet.time_base, moment, moment + float((packet.duration or 0) * packet.time_base)
    if begin < job.start < end:
        begin = job.start
        packet.pts = packet.dts = packet.pts + round((begin - moment) / base)
    if job.end is not None:
        end = min(end, job.end)
    if packet.duration and end > begin:
        packet.duration = round((end - begin) / base)
    return begin


def heard(job, film, streams: dict):
    """(second, 1, packet, where it goes) for everything else of the source between --start and --end."""
    wanted = [film.streams[index] for index in streams]
    packets = film.demux(wanted) if wanted else ()
    try:
        for packet in real_packets(packets):
            moment = float(packet.pts * packet.time_base - job.origin)
            attached, length = packet.stream.type == "video", float((packet.duration or 0) * packet.time_base)
            if job.format == "matroska" and not attached and length and moment + 2 * length <= 0:
                continue  # hidden by an edit list; Matroska has none, and would play it
            if job.end is not None and moment > job.end + BEYOND:
                return
            if packet.stream.type == "subtitle":
                moment = _line_within(packet, moment, job)
            if attached or ((moment >= job.start or not job.start) and (job.end is None or moment < job.end)):
                yield 0.0 if attached else moment - job.start, 1, packet, streams[packet.stream.index]
    except job.av.FFmpegError:
        return  # the frames have told already that the file breaks off
