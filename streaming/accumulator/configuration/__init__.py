"""From a Fluentd configuration file to a checked plan: the language, the parameters of each plugin, what must fit."""
