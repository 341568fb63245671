package state

import (
	"bytes"
	"errors"
	"fmt"
	"os"
)

// startTime reads field 22 of /proc/PID/stat; the command, field 2, may itself contain spaces and parentheses.
func startTime(pid int) (start string, zombie bool, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", false, err
	}
	return parseStat(data)
}

func parseStat(data []byte) (start string, zombie bool, err error) {
	end := bytes.LastIndexByte(data, ')')
	fields := bytes.Fields(data[end+1:])
	if end < 0 || len(fields) < 20 {
		return "", false, errors.New("unexpected /proc/PID/stat")
	}
	return string(fields[19]), fields[0][0] == 'Z' || fields[0][0] == 'X', nil
}
