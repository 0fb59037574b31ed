"""The last step of a video: its pieces, and everything else of the source, in one file that takes its name when it is whole."""

import heapq
from fractions import Fraction

from ..images import move
from .encoding import add_encoder
from .sinks import Carried, container_options, dress, lost, real_packets
from .streams import open_film

NEARLY = 0.5  # seconds that may be missing at the end of a whole video
BEYOND = 10  # seconds behind --end that are read before everything counts as past


def join(job, segments) -> None:
    """Write the result of a `Job` whose frames are in `segments`."""
    av, whole = job.av, segments.folder / f"whole{job.target.suffix.lower()}"
    with open_film(av, job.source) as film, av.open(str(whole), "w", format=job.format, options=container_options(film, job.strip)) as out:
        sink = add_encoder(out, segments.look, job.crf, job.rate, job.base)
        streams = {index: Carried(av, out, film.streams[index], copied, job.strip) for index, copied in job.carried.items()}
        dress(film, film.streams[job.index], out, sink, job.shift, None if job.end is None else job.end - job.start, bool(job.start), job.strip)
        out.start_encoding()
        sounded, broken = mux(av, out, seen(av, segments, sink, job.base), heard(job, film, streams), job.shift)
        for carried in streams.values():
            carried.close()
    reached = max(float(segments.end * job.base), sounded)
    missing = job.seconds - (job.start + reached) if job.end is None else 0
    if segments.state["broken"] + broken or missing > NEARLY:
        print(f"note: {job.name} is damaged; the {segments.state['frames']} frames that could be read, up to {job.start + reached:.1f} s, were kept")
    if gone := lost(av, job.source, whole, job.index, bool(job.start or job.end), job.strip):
        print(f"note: {job.target.suffix} does not hold {', '.join(gone)} of the source")
    move(whole, job.target)


def mux(av, out, pictures, others, shift: Fraction) -> tuple[float, int]:
    """Write packets by their time -> (the second that sound and the like reach, packets that could not be used)."""
    reached, broken = 0.0, 0
    for moment, _, packet, carried in heapq.merge(pictures, others, key=lambda item: item[:2]):
        if carried is None:
            out.mux(packet)
            continue
        reached = max(reached, moment + float((packet.duration or 0) * packet.time_base))
        try:
            carried.mux(packet, round(shift / packet.time_base))
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


def heard(job, film, streams: dict):
    """(second, 1, packet, where it goes) for everything else of the source between --start and --end."""
    wanted = [film.streams[index] for index in streams]
    packets = film.demux(wanted) if wanted else ()
    try:
        for packet in real_packets(packets):
            moment = float(packet.pts * packet.time_base - job.origin)
            attached = packet.stream.type == "video"
            if job.end is not None and moment > job.end + BEYOND:
                return
            if attached or ((moment >= job.start or not job.start) and (job.end is None or moment < job.end)):
                yield 0.0 if attached else moment - job.start, 1, packet, streams[packet.stream.index]
    except job.av.FFmpegError:
        return  # the frames have told already that the file breaks off
