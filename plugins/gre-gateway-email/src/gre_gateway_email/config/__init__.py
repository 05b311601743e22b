"""The configuration: one TOML file and the environment, checked as a whole before anything starts."""

from gre_gateway_email.config.loading import load as load
from gre_gateway_email.config.loading import read as read
from gre_gateway_email.config.settings import Config as Config
from gre_gateway_email.config.settings import Files as Files
from gre_gateway_email.config.settings import Http as Http
from gre_gateway_email.config.settings import Keys as Keys
from gre_gateway_email.config.settings import Limits as Limits
from gre_gateway_email.config.settings import Listen as Listen
from gre_gateway_email.config.settings import Log as Log
from gre_gateway_email.config.settings import Mail as Mail
from gre_gateway_email.config.settings import Registration as Registration
from gre_gateway_email.config.settings import Retention as Retention
from gre_gateway_email.config.settings import Retry as Retry
from gre_gateway_email.config.settings import Smtp as Smtp
from gre_gateway_email.config.settings import Xmpp as Xmpp
from gre_gateway_email.config.sources import ConfigError as ConfigError
