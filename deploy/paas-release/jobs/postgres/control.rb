Paas.component 'postgres' do
  def start = in_background('start')
  def stop = in_background('stop')
  def restart = in_background('restart')

  # What pg_ctl says, and not the line that the others have.
  def status
    inside(package) do
      set_up
      run "#{pg_ctl 'status'} 2>&1"
    end
  end

  private

  def data = vcap_sys_data + 'postgres'

  def pg_ctl(action)
    "LD_LIBRARY_PATH=#{package}/lib #{package}/bin/pg_ctl #{action} -D #{data}"
  end

  def in_background(action)
    inside(package) do
      set_up
      run "#{pg_ctl action} #{outputs} & "
    end
  end

  # Makes the database where its folder isn't there, whatever is asked for.
  def set_up
    return if data.exist?

    data.mkpath
    run "#{package}/bin/initdb -D #{data}"
    # By its password, root may come from everywhere.
    %w[cloud_controller uaa].each do |database|
      run "echo host #{database} root 0.0.0.0/0 md5 >> #{data}/pg_hba.conf "
    end
    listen = "listen_addresses\\ =\\ '#{local_ip},localhost'"
    run %(sed -i "s/#listen_addresses\\ =\\ 'localhost'/#{listen}/g" #{data}/postgresql.conf)
  end
end
