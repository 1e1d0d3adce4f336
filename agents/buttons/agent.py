"""The buttons agent: presses and releases of buttons run templates."""

from bus.agent import Agent
from schemas import buttons

from .settings import ButtonsSettings


class Buttons(Agent):
    """Buttons of one host; it can run elsewhere, where the pins are."""

    name = buttons.OWNER
    components = ("button",)
    optional = True
    settings_model = ButtonsSettings
    settings: ButtonsSettings

    async def run(self) -> None:
        """Keeps all buttons until cancelled."""
        from .panel import Panel  # with jinja2, which only those pay for who have buttons

        panel = await Panel.open(self.bus, self.settings.buttons, self.host)
        await panel.run()
