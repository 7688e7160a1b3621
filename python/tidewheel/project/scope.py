"""What is still open in a project's scope, as questions: the exit criterion of the first stage.

Pure: settings in, questions out. `tidewheel run` shows them before anything is trained.
"""

from tidewheel.project.settings import Settings


def check_scope(settings: Settings) -> tuple[str, ...]:
    """List the questions that the project file leaves open; an empty tuple when the scope is complete.

    Example:
        >>> from tidewheel.project.files import read_settings
        >>> from importlib.resources import files
        >>> check_scope(read_settings(files("tidewheel.examples.flights") / "tidewheel.toml"))
        ()
    """
    scope = settings.scope
    asked = (
        (not scope.business_metric, "Which business metric shall move? Set `scope.business_metric`."),
        (scope.amount is None, "By how much must it move to be worth the work? Set `scope.amount`."),
        (not scope.decision, "Which decision is taken with the prediction? Set `scope.decision`."),
        (not scope.labelling, "Where do labels come from, how late, at which cost? Set `scope.labelling`."),
        (settings.data.unit is None, "Which rows belong together (a day, a customer)? Without `data.unit` each row is taken "
         "as independent, and intervals may be far too narrow."),
        (not settings.risks, "What may go wrong, and how would it be seen? Describe it in `[[risks]]`."),
        (not settings.gates.get("model"), "What must a model reach? Without `[gates.model]` the default criteria apply."),
    )  # fmt: skip
    return tuple(question for is_open, question in asked if is_open)
