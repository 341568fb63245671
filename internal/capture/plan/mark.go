package plan

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// parseMark reads a mark other than 0, in decimal or after 0x.
func parseMark(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 0, 32)
	octal := len(s) > 1 && s[0] == '0' && s[1] != 'x' && s[1] != 'X'
	if err != nil || n == 0 || octal || strings.Contains(s, "_") {
		return 0, fmt.Errorf("%q is not a number from 1 to 4294967295", s)
	}
	return uint32(n), nil
}

// setProxyMark reads VALUE or VALUE/MASK.
func setProxyMark(c *Command, value string) error {
	c.Options.ProxyMark = nil
	if value == "" {
		return nil
	}
	first, second, masked := strings.Cut(value, "/")
	mark := Mark{Mask: allBits}
	var err error
	if mark.Value, err = parseMark(first); err != nil {
		return err
	}
	if masked {
		if mark.Mask, err = parseMark(second); err != nil {
			return err
		}
	}
	if mark.Value&^mark.Mask != 0 {
		return errors.New("the value has bits that the mask takes away; no packet would match")
	}
	c.Options.ProxyMark = &mark
	return nil
}

// setTable keeps out the tables the kernel itself has: default, main and local.
func setTable(c *Command, value string) error {
	n, err := parseMark(value)
	if err == nil && n >= 253 && n <= 255 {
		err = fmt.Errorf("table %d is the kernel's own; want another number", n)
	}
	c.Options.TProxyTable = n
	return err
}

func mark(field func(*Command) *uint32) setter {
	return func(c *Command, value string) (err error) {
		*field(c), err = parseMark(value)
		return err
	}
}

// String is the flag's form, "" for none.
func (m *Mark) String() string {
	switch {
	case m == nil:
		return ""
	case m.Mask == allBits:
		return fmt.Sprintf("0x%x", m.Value)
	default:
		return fmt.Sprintf("0x%x/0x%x", m.Value, m.Mask)
	}
}
