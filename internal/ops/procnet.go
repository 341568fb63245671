package ops

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// procSocket finds a socket in dir/tcp and dir/tcp6, which say the same as sock_diag, only slower.
func procSocket(dir string, local, remote netip.AddrPort) (Socket, error) {
	for _, name := range []string{"tcp", "tcp6"} {
		s, err := procFile(filepath.Join(dir, name), local, remote)
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return s, err
		}
	}
	return Socket{}, fmt.Errorf("no socket %v to %v in %s: %w", local, remote, dir, os.ErrNotExist)
}

func procFile(path string, local, remote netip.AddrPort) (Socket, error) {
	file, err := os.Open(path)
	if err != nil {
		return Socket{}, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		l, r, s, ok := parseProcLine(lines.Text())
		if ok && l == local && r == remote {
			return s, nil
		}
	}
	if err := lines.Err(); err != nil {
		return Socket{}, fmt.Errorf("reading %s: %w", path, err)
	}
	return Socket{}, os.ErrNotExist
}

// parseProcLine reads "sl local remote st queues timer retransmits uid timeout inode …".
func parseProcLine(line string) (local, remote netip.AddrPort, s Socket, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 10 {
		return local, remote, s, false
	}
	local, okLocal := parseProcAddr(fields[1])
	remote, okRemote := parseProcAddr(fields[2])
	state, errState := strconv.ParseUint(fields[3], 16, 8)
	uid, errUID := strconv.ParseUint(fields[7], 10, 32)
	inode, errInode := strconv.ParseUint(fields[9], 10, 32)
	ok = okLocal && okRemote && errState == nil && errUID == nil && errInode == nil
	return local, remote, Socket{State: uint8(state), UID: uint32(uid), Inode: uint32(inode)}, ok
}

// parseProcAddr reads "0100007F:1F90": 32-bit words in this machine's order, then the port.
func parseProcAddr(text string) (netip.AddrPort, bool) {
	host, port, found := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	number, errPort := strconv.ParseUint(port, 16, 16)
	if !found || err != nil || errPort != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(number)), ok
}
