part('mounts', cat('/proc/self/mountinfo'));
