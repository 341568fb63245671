package memory

import (
	"bufio"
	"io"
	"strconv"
	"strings"
)

// area is a part of the address space.
type area struct{ start, end uintptr }

// untouched reads /proc/PID/smaps (proc_pid_smaps(5)) and returns where the file is mapped read-only, but not those
// areas of it in which some page was changed all the same, as a dynamic linker does before it protects them: what we
// changed would be lost.
func untouched(smaps io.Reader, file string) (all []area) {
	var found area
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		line := lines.Text()
		if a, ok := mapping(line, file); ok {
			found = a
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		switch {
		case strings.Contains(name, " "): // another file's
			found = area{}
		case name == "Anonymous" && found != (area{}) && strings.TrimSpace(value) == "0 kB":
			all = append(all, found)
		}
	}
	return all
}

// mapping reads the first line of an area: `00400000-00caa000 r-xp 00000000 fe:01 1234   /path`.
func mapping(line, file string) (a area, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 6 || !strings.HasSuffix(line, " "+file) || len(fields[1]) != 4 || fields[1][0] != 'r' || fields[1][1] != '-' {
		return a, false
	}
	from, to, _ := strings.Cut(fields[0], "-")
	start, err := strconv.ParseUint(from, 16, 64)
	if err != nil {
		return a, false
	}
	end, err := strconv.ParseUint(to, 16, 64)
	if err != nil || end <= start {
		return a, false
	}
	return area{uintptr(start), uintptr(end)}, true
}
