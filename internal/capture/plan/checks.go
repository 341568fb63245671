package plan

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// accepted checks a value that changes nothing.
func accepted(check func(string) error) func(*Command, string) error {
	return func(_ *Command, value string) error { return check(value) }
}

func warned(text string, check func(string) error) func(*Command, string) error {
	return func(c *Command, value string) error {
		c.Warnings = append(c.Warnings, text)
		return check(value)
	}
}

// unbuilt refuses every value but the one that means "off": what we can't do is never taken silently.
func unbuilt(off string) func(*Command, string) error {
	return func(_ *Command, value string) error {
		if value == off {
			return nil
		}
		if on, err := strconv.ParseBool(value); off == "false" && err == nil && !on {
			return nil
		}
		return fmt.Errorf("this isn't built yet; want %q", off)
	}
}

func checkAny(string) error { return nil }

func checkPort(value string) error {
	_, err := parseNumber(value, 1, 65535)
	return err
}

func checkBool(value string) error {
	_, err := parseBool(value)
	return err
}

func checkDuration(value string) error {
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		return errors.New("want a duration such as 5s")
	}
	return nil
}

func parseBool(value string) (bool, error) {
	b, err := strconv.ParseBool(value)
	if err != nil {
		return false, errors.New("want true or false")
	}
	return b, nil
}
