package proxyconfig

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// levels are the log levels of the admin API.
var levels = []string{"trace", "debug", "info", "warning", "error", "critical", "off"}

// LevelQuery makes /logging's query out of LEVEL, for all loggers, or LOGGER:LEVEL,…; istioctl's none and warn are off
// and warning.
func LevelQuery(text string) (string, error) {
	if !strings.Contains(text, ":") {
		level, err := levelNamed(text)
		return url.Values{"level": {level}}.Encode(), err
	}
	var paths []string
	for _, part := range strings.Split(text, ",") {
		logger, level, named := strings.Cut(part, ":")
		level, err := levelNamed(level)
		switch {
		case !named:
			err = errors.New("a level for all loggers stands alone")
		case logger == "":
			err = fmt.Errorf("%q names no logger; want LOGGER:LEVEL", part)
		}
		if err != nil {
			return "", err
		}
		paths = append(paths, logger+":"+level)
	}
	return url.Values{"paths": {strings.Join(paths, ",")}}.Encode(), nil
}

func levelNamed(text string) (string, error) {
	switch text {
	case "none":
		return "off", nil
	case "warn":
		return "warning", nil
	}
	if !slices.Contains(levels, text) {
		return "", fmt.Errorf("there is no level %q; want one of %s", text, strings.Join(levels, ", "))
	}
	return text, nil
}
