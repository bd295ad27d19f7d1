import { readFileSync, rmSync, writeFileSync } from 'node:fs';

/**
 * Run a job that no two processes may run at once. A lock that its process left behind is taken over.
 *
 * @param path - of the lock file; its folder must exist.
 */
export async function withLock<T>(path: string, job: () => Promise<T>): Promise<T> {
  while (!tryLock(path)) await new Promise((resolve) => setTimeout(resolve, 100));
  try {
    return await job();
  } finally {
    rmSync(path, { force: true });
  }
}

/**
 * Like {@link withLock}, but a job whose lock somebody holds is left alone.
 *
 * @returns whether the job ran.
 */
export async function withFreeLock(path: string, job: () => Promise<void>): Promise<boolean> {
  if (!tryLock(path)) return false;
  try {
    await job();
  } finally {
    rmSync(path, { force: true });
  }
  return true;
}

function tryLock(path: string): boolean {
  try {
    writeFileSync(path, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    if (!isAlive(Number(readText(path)))) rmSync(path, { force: true });
    return false;
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function isAlive(pid: number): boolean {
  if (!(pid > 0)) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
