package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"bogus"}, {"get"}, {"sleep", "1"}, {"exit"}, {"exit", "x"}, {"probe", "soon", "http://a"}, {"send", "a"}} {
		var failures bytes.Buffer
		if code := run(t.Context(), args, io.Discard, &failures); code != 64 || failures.String() != usage {
			t.Errorf("app %q exits with %d and says %q", args, code, failures.String())
		}
	}
}

func TestExit(t *testing.T) {
	if code := run(t.Context(), []string{"exit", "7"}, io.Discard, io.Discard); code != 7 {
		t.Errorf("exits with %d", code)
	}
}

func TestServeAndGet(t *testing.T) {
	address, stop := start(t, "serve", "serving")
	var out, failures bytes.Buffer
	if code := run(t.Context(), []string{"get", "http://" + address + "/a/b"}, &out, &failures); code != 0 {
		t.Fatalf("exits with %d: %s", code, failures.String())
	}
	var got answer
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Path != "/a/b" || got.Local != address || !strings.HasPrefix(got.Remote, "127.0.0.1:") || got.Host != address || got.Pod == "" {
		t.Errorf("answered %+v", got)
	}
	if code := stop(); code != 0 {
		t.Errorf("the server exits with %d", code)
	}
	if code := run(t.Context(), []string{"get", "http://" + address}, io.Discard, io.Discard); code != 1 {
		t.Errorf("asking a server that's gone exits with %d", code)
	}
}

func TestEchoAndSend(t *testing.T) {
	address, stop := start(t, "echo", "echoing")
	var out bytes.Buffer
	if code := run(t.Context(), []string{"send", address, "hello"}, &out, io.Discard); code != 0 || out.String() != "hello\n" {
		t.Errorf("exits with %d and prints %q", code, out.String())
	}
	if code := stop(); code != 0 {
		t.Errorf("the server exits with %d", code)
	}
}

func TestProbeCounts(t *testing.T) {
	address, stop := start(t, "serve", "serving")
	defer stop()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // asked to end at once, it still finishes the request under way
	var out bytes.Buffer
	if code := run(ctx, []string{"probe", "1ms", "http://" + address}, &out, io.Discard); code != 0 {
		t.Fatalf("exits with %d", code)
	}
	if out.String() != `{"ok":1,"failed":0}`+"\n" {
		t.Errorf("counted %s", out.String())
	}
}

// start runs a server on a free port and returns its address, and what ends it and returns its exit code.
func start(t *testing.T, command, says string) (string, func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{command, "127.0.0.1:0"}, writer, io.Discard)
		_ = writer.Close()
	}()
	var said map[string]string
	if err := json.NewDecoder(reader).Decode(&said); err != nil {
		t.Fatal(err)
	}
	return said[says], func() int { cancel(); return <-code }
}
