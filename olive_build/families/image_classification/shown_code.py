"""What a bundle's code shows of preparing a picture: Python with Pillow and numpy. Light."""

from __future__ import annotations

from olive_build.families.image_classification.preparation import (
    FILTERS,
    Crop,
    Exact,
    Frame,
    Preparation,
    Resize,
    ShareCrop,
    Shortest,
    Size,
    Step,
    Thumbnail,
    Turn,
    Within,
)


def sizes_text(prepared: Preparation) -> str:
    """Return which pictures are taken."""
    size = f"{prepared.height} x {prepared.width}"
    return f"any (it becomes {size})" if prepared.steps else size


def picture_code(prepared: Preparation, takes: str) -> dict[str, str]:
    """Return code that makes of `picture`, a Pillow image, the graph's input `takes`.

    `example` is a picture to run it with, `prepare` are the lines, `prepared` is the input.
    """
    grey = len(prepared.mean) == 1
    mode = "L" if grey else "RGB"
    # A picture that is resized is shown in another size than the network's.
    size = (640, 480) if prepared.steps else (prepared.width, prepared.height)
    lines = [] if takes == "image" else [line for s in prepared.steps for line in _step(s)]
    array = "np.array(picture)[None, ..., None]" if grey else "np.array(picture)[None]"
    lines.append(f"images = {array}  # uint8 [1, height, width, {len(prepared.mean)}]")
    if takes != "image":
        lines += _numbers(prepared)
    return {
        "example": f'Image.new("{mode}", {size})',
        "mode": mode,
        "prepare": "\n".join(lines),
        "prepared": "images" if takes == "image" else "pixels",
    }


def _numbers(prepared: Preparation) -> list[str]:
    order = "[..., ::-1]" if prepared.flips else ""
    mean, std = (
        f"np.array({list(values)}, np.float32)" for values in (prepared.mean, prepared.std)
    )
    return [
        f"pixels = (images{order} * np.float32({prepared.rescale!r}) - {mean}) / {std}",
        "pixels = pixels.transpose(0, 3, 1, 2)",
    ]


def _step(step: Step) -> list[str]:
    match step:
        case Resize(size, filter_):
            name = FILTERS[filter_]
            return [*_size(size), f"picture = picture.resize(size, Image.Resampling.{name})"]
        case Crop(height, width):
            return _crop(f"{width}, {height}")
        case ShareCrop(height, width):
            shorter = "min(picture.size)"
            return _crop(f"int({width!r} * {shorter}), int({height!r} * {shorter})")
        case Turn(upright):
            sides = (
                "picture.width > picture.height" if upright else "picture.height > picture.width"
            )
            turned = "picture.transpose(Image.Transpose.ROTATE_270)"
            return [f"if {sides}:", f"    picture = {turned}"]
        case Frame(height, width):
            return [
                f"framed = Image.new(picture.mode, ({width}, {height}))",
                f"left, top = ({width} - picture.width) // 2, ({height} - picture.height) // 2",
                "framed.paste(picture, (left, top))",
                "picture = framed",
            ]


def _crop(sides: str) -> list[str]:
    return [
        f"width, height = {sides}",
        "left, top = (picture.width - width) // 2, (picture.height - height) // 2",
        "picture = picture.crop((left, top, left + width, top + height))",
    ]


def _size(size: Size) -> list[str]:
    match size:
        case Exact(height, width):
            return [f"size = ({width}, {height})"]
        case Shortest(edge, None, divisor):
            side = f"{edge} * side // min(picture.size)"
            found = side if divisor == 1 else f"-(-({side}) // {divisor}) * {divisor}"
            return [f"size = [{found} for side in picture.size]"]
        case Shortest(edge, longest, _):
            return [
                "short, long = min(picture.size), max(picture.size)",
                f"share = {edge}",
                f"if long / short * {edge} > {longest}:",
                f"    share = {longest} * short / long",
                "size = picture.size",
                "if round(share) != short:",
                "    size = [int(share * side / short) for side in size]",
                "    size[size.index(min(size))] = round(share)",
            ]
        case Within(height, width):
            return [
                f"share = min({height} / picture.height, {width} / picture.width)",
                "size = [int(side * share) for side in picture.size]",
            ]
        case Thumbnail(height, width):
            return [
                f"width, height = min(picture.width, {width}), min(picture.height, {height})",
                "if picture.height > picture.width:",
                "    width = picture.width * height // picture.height",
                "elif picture.width > picture.height:",
                "    height = picture.height * width // picture.width",
                "size = (width, height)",
            ]
