//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// load makes requests, connections or bytes through the proxy at a port of this machine for a while.
type load func(ctx context.Context, r *rig, port int, d time.Duration) (loaded, error)

// loaded is what came of it.
type loaded struct {
	units float64       // requests, connections or bytes
	p99   time.Duration // 0: the client doesn't tell
}

// connections are those of wrk.
const connections = 64

var (
	wrkRequests = regexp.MustCompile(`(\d+) requests in`)
	wrkP99      = regexp.MustCompile(`99%\s+([0-9.]+(?:us|ms|s))`)
	wrkFailures = regexp.MustCompile(`Non-2xx|Socket errors`)
)

// wrk keeps connections alive, each with one request at a time. It takes whole seconds.
func wrk(scheme, path string) load {
	return func(ctx context.Context, _ *rig, port int, d time.Duration) (l loaded, err error) {
		seconds := strconv.Itoa(int(max(d, time.Second) / time.Second))
		text, err := client(command(ctx, otherCore, "wrk", "-t1", "-c"+strconv.Itoa(connections), "-d"+seconds+"s", "--latency",
			"-H", "Host: "+hostName(chosenHost), scheme+"://"+local(port)+path))
		if err != nil {
			return l, err
		}
		if wrkFailures.Match(text) {
			return l, fmt.Errorf("wrk saw failures:\n%s", text)
		}
		l.units, err = found("wrk", wrkRequests, text)
		if match := wrkP99.FindSubmatch(text); match != nil {
			l.p99, _ = time.ParseDuration(string(match[1]))
		}
		return l, err
	}
}

var (
	h2loadDone   = regexp.MustCompile(`(\d+) succeeded`)
	h2loadFailed = regexp.MustCompile(`[1-9]\d* (?:failed|errored|timeout)`)
)

// h2load keeps 8 HTTP/2 connections alive, each with 8 requests at a time.
func h2load(ctx context.Context, _ *rig, port int, d time.Duration) (l loaded, err error) {
	seconds := strconv.Itoa(int(max(d, time.Second) / time.Second))
	text, err := client(command(ctx, otherCore, "h2load", "-t1", "-c8", "-m8", "-D"+seconds, "http://"+local(port)+"/"))
	if err != nil {
		return l, err
	}
	if h2loadFailed.Match(text) {
		return l, fmt.Errorf("h2load saw failures:\n%s", text)
	}
	l.units, err = found("h2load", h2loadDone, text)
	return l, err
}

// connect opens connections, each for one exchange; kind is tcp or https.
func connect(kind string) load {
	return func(ctx context.Context, r *rig, port int, d time.Duration) (loaded, error) {
		return own(r.role(ctx, otherCore, roleConnect, kind, local(port), d.String()))
	}
}

func bulk(ctx context.Context, r *rig, port int, d time.Duration) (loaded, error) {
	return own(r.role(ctx, otherCore, roleBulk, local(port), d.String()))
}

func grpcCalls(ctx context.Context, r *rig, port int, d time.Duration) (loaded, error) {
	return own(r.role(ctx, otherCore, roleGRPC, local(port), d.String()))
}

var ownNumber = regexp.MustCompile(`^(\d+)\n$`)

// own runs a client of ours, which prints one number.
func own(cmd *exec.Cmd) (l loaded, err error) {
	text, err := client(cmd)
	if err != nil {
		return l, err
	}
	l.units, err = found("the client", ownNumber, text)
	return l, err
}

// client runs a client to its end and returns what it printed.
func client(cmd *exec.Cmd) ([]byte, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%v: %w\n%s%s", cmd.Args, err, text, stderr.Bytes())
	}
	return text, nil
}

// errNothing is what becomes of a client that had no time at all, on a machine that is busy with something else.
var errNothing = errors.New("nothing was done")

func found(what string, number *regexp.Regexp, text []byte) (float64, error) {
	match := number.FindSubmatch(text)
	if match == nil {
		return 0, fmt.Errorf("%s says no number:\n%s", what, text)
	}
	n, err := strconv.ParseFloat(string(match[1]), 64)
	if err == nil && n == 0 {
		err = fmt.Errorf("%s: %w:\n%s", what, errNothing, text)
	}
	return n, err
}
